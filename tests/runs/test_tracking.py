"""What is recorded: every point once, LR changes always, and files that a resumed run continues exactly."""

import csv

import pytest
import torch
from support import history, points
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from lrlab.errors import UserError
from lrlab.runs.curve import RecordedCurve
from lrlab.runs.tracking import MOST_POINTS, Tracker, _layout
from lrlab.training.metrics import known

METRICS = {"train_loss": 1.5, "train_accuracy": 0.25, "val_loss": 1.25, "val_accuracy": 0.5}


def record(tracker: Tracker, steps: range, epoch_length: int = 5) -> None:
    for step in steps:
        tracker.update(step, {"lr": 0.1 / (step + 1)}, torch.tensor(1.0 / (step + 1)))
        if (step + 1) % epoch_length == 0:
            tracker.epoch(step // epoch_length, step + 1, 0.1 / (step + 1), METRICS, 0.1)


def test_every_update_is_a_point_at_its_index_and_every_epoch_one_at_the_updates_completed(tmp_path):
    tracker = Tracker(tmp_path, updates=10)
    record(tracker, range(10))
    tracker.close()
    found = points(tmp_path)
    assert set(found) == {"lr", "train/loss", "train/accuracy", "val/loss", "val/accuracy"}
    assert found["lr"] == [(step, pytest.approx(0.1 / (step + 1))) for step in range(10)]
    assert found["train/loss"] == [(step, pytest.approx(1.0 / (step + 1))) for step in range(10)]
    assert found["val/loss"] == [(5, 1.25), (10, 1.25)]


def test_history_has_a_row_an_epoch_and_exact_numbers(tmp_path):
    tracker = Tracker(tmp_path, updates=5)
    tracker.epoch(0, 5, 0.1 / 3, {"train_loss": 1 / 3, "train_accuracy": 0.5}, 0.25)
    tracker.close()
    with (tmp_path / "history.csv").open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["epoch", "step", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"]
    assert [float(value) for value in row[:5]] == [0, 5, 0.1 / 3, 1 / 3, 0.5]
    assert row[5:] == ["", "", "0.25"]


@pytest.mark.parametrize("stop", [0, 3, 5, 7])
def test_a_resumed_run_has_every_point_once(tmp_path, stop):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = Tracker(tmp_path / "whole", updates=10)
    record(whole, range(10))
    whole.close()

    killed = Tracker(tmp_path / "cut", updates=10)
    record(killed, range(stop))
    state = killed.state_dict()
    record(killed, range(stop, 9))  # written after the checkpoint, then the run is killed
    killed.close()
    resumed = Tracker(tmp_path / "cut", updates=10, step=stop, state=state)
    record(resumed, range(stop, 10))
    resumed.close()
    assert points(tmp_path / "cut") == points(tmp_path / "whole")
    assert history(tmp_path / "cut") == history(tmp_path / "whole")


def test_an_event_file_that_the_checkpoint_does_not_know_is_removed(tmp_path):
    first = Tracker(tmp_path, updates=10)
    state = first.state_dict()
    first.close()
    for _ in range(3):
        again = Tracker(tmp_path, updates=10, state=state)
        again.update(0, {"lr": 0.1}, torch.tensor(1.0))
        again.close()
    assert len(points(tmp_path)["lr"]) == 1
    assert len(list(tmp_path.glob("events*"))) == 2


def test_further_parameter_groups_have_their_own_curve(tmp_path):
    tracker = Tracker(tmp_path, updates=1, driven=["lr", "lr/no_decay"])
    tracker.update(0, {"lr": 0.5, "lr/no_decay": 0.25, "momentum": 0.9}, torch.tensor(1.0))
    tracker.close()
    found = points(tmp_path)
    assert (found["lr"], found["lr/no_decay"]) == ([(0, 0.5)], [(0, 0.25)])


def kept(lrs: list[float], stride: int) -> dict[int, float]:
    curve = RecordedCurve("lr", stride)
    found = [
        point
        for step, lr in enumerate(lrs)
        for point in curve.add(step, lr, step % stride == 0 or step == len(lrs) - 1)
    ]
    assert [step for step, _ in found] == sorted({step for step, _ in found})
    return dict(found)


def drawn(kept: dict[int, float], steps: int) -> list[float]:
    """The curve that straight lines between the points that were kept show."""
    xs = torch.tensor(sorted(kept), dtype=torch.float64)
    ys = torch.tensor([kept[int(x)] for x in xs], dtype=torch.float64)
    t = torch.arange(steps, dtype=torch.float64)
    right = torch.searchsorted(xs, t).clamp(1, len(xs) - 1)
    left = right - 1
    return (ys[left] + (ys[right] - ys[left]) * (t - xs[left]) / (xs[right] - xs[left])).tolist()


CURVES = {
    "stairs": [0.5 ** (t // 300) for t in range(3000)],
    "small stairs": [0.99 ** (t // 20) for t in range(3000)],
    "two-step spike": [1.0 if t in (1234, 1235) else 0.1 for t in range(3000)],
    "triangles": [abs(t % 500 - 250) / 250 for t in range(3000)],
    "restarts": [1 - (t % 700) / 700 for t in range(3000)],
    "warm-up and line": [min((t + 1) / 11, (3000 - t) / 2990) for t in range(3000)],
}


@pytest.mark.parametrize("lrs", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("stride", [7, 100])
def test_a_thinned_curve_still_shows_every_change(lrs, stride):
    points = kept(lrs, stride)
    assert drawn(points, len(lrs)) == pytest.approx(lrs, abs=1e-9)
    assert len(points) <= len(lrs) / stride + 2 * 150


@pytest.mark.parametrize("noise", [torch.rand(5000, generator=torch.Generator().manual_seed(0)).tolist()])
def test_a_curve_that_changes_at_random_is_bounded(noise):
    assert len(kept(noise, 50)) <= 5 * len(noise) / 50 + 1


def test_a_long_run_is_thinned_evenly(tmp_path):
    updates = 3 * MOST_POINTS
    tracker = Tracker(tmp_path, updates=updates)
    for step in range(updates):
        tracker.update(step, {"lr": 0.1 if step < 20_000 else 0.01}, torch.tensor(1.0))
    tracker.close()
    found = points(tmp_path)
    assert [step for step, _ in found["train/loss"]] == [*range(0, updates, 3), updates - 1]
    assert {19_999, 20_000} <= {step for step, _ in found["lr"]}


def test_thinning_goes_on_where_it_stopped():
    lrs = CURVES["triangles"]
    whole, first, second = RecordedCurve("lr", 40), RecordedCurve("lr", 40), RecordedCurve("lr", 40)
    expected = [point for step, lr in enumerate(lrs) for point in whole.add(step, lr, step % 40 == 0)]
    found = [point for step, lr in enumerate(lrs[:1250]) for point in first.add(step, lr, step % 40 == 0)]
    second.recent, second.corners = first.recent, first.corners
    found += [p for step, lr in enumerate(lrs[1250:], 1250) for p in second.add(step, lr, step % 40 == 0)]
    assert found == expected


def test_hyperparameters_lie_in_the_runs_own_file_with_their_types(tmp_path):
    tracker = Tracker(
        tmp_path, updates=1, hyperparameters={"lr": 0.1, "scheduler": "step", "nesterov": True}, trial="scheduler=step"
    )
    tracker.close("success")
    accumulator = EventAccumulator(str(tmp_path)).Reload()
    content = {
        tag: HParamsPluginData.FromString(data) for tag, data in accumulator.PluginTagToContent("hparams").items()
    }
    start = content["_hparams_/session_start_info"].session_start_info
    assert start.hparams["lr"].number_value == 0.1
    assert start.hparams["scheduler"].string_value == "step"
    assert start.hparams["nesterov"].bool_value is True
    assert start.group_name == "scheduler=step"
    assert content["_hparams_/session_end_info"].session_end_info.status == 1
    assert len(list(tmp_path.glob("events*"))) == 1


def test_a_resumed_runs_file_is_read_last_whatever_the_clock_and_the_process(tmp_path, monkeypatch):
    first = Tracker(tmp_path, updates=2)
    state = first.state_dict()
    first.close()
    monkeypatch.setattr("lrlab.runs.tracking.time.time", lambda: 1000.0)  # a clock that was set back
    monkeypatch.setattr("lrlab.runs.tracking.os.getpid", lambda: 1)
    Tracker(tmp_path, updates=2, step=1, state=state).close()
    one, two = sorted(tmp_path.glob("events*"))
    assert (one.name in state["lengths"], two.name in state["lengths"]) == (True, False)


def test_every_run_brings_the_same_layout_of_charts_once(tmp_path):
    Tracker(tmp_path, updates=1).close("success")
    accumulator = EventAccumulator(str(tmp_path)).Reload()
    content = accumulator.Tensors("custom_scalars__config__")
    layout = Layout.FromString(content[0].tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}
    assert len(content) == 1
    assert charts["LR"] == ["^lr$"]
    assert "^val/loss$" in charts["validation and training loss"]
    averaged = _layout(known(), averaged=True)["LR and loss"]["validation and training loss, and of averaged weights"]
    assert averaged == ["Multiline", ["^val/loss$", "^train/loss$", "^average/val_loss$"]]


def test_a_folder_that_holds_a_run_is_refused(tmp_path):
    Tracker(tmp_path, updates=1).close()
    with pytest.raises(UserError, match="which holds a run already; allowed: a folder without one; do: resume="):
        Tracker(tmp_path, updates=1)


@pytest.mark.parametrize("damage", ["missing", "shorter", "saved by a spreadsheet", "edited"])
def test_a_log_that_lost_what_the_checkpoint_knows_is_named_and_left(tmp_path, damage):
    tracker = Tracker(tmp_path, updates=10)
    record(tracker, range(10))
    state = tracker.state_dict()
    tracker.close()
    path = tmp_path / "history.csv"
    text = path.read_text()
    path.unlink()
    if damage == "shorter":
        path.write_text(text[:50])
    elif damage == "saved by a spreadsheet":
        path.write_text(text, newline="\r\n")
    elif damage == "edited":
        path.write_text(text.replace("0.1", "0.2"))
    left = path.read_bytes() if path.exists() else None
    told = "(missing|50 bytes long|not as the run wrote it: another program has changed it)"
    with pytest.raises(UserError, match=rf"resume: got .*history\.csv, which is {told}; allowed: the 1"):
        Tracker(tmp_path, updates=10, state=state)
    assert (path.read_bytes() if path.exists() else None) == left


def test_files_of_other_writers_stay_as_they_are(tmp_path):
    tracker = Tracker(tmp_path, updates=10)
    record(tracker, range(10))
    others = [tmp_path / "events.out.tfevents.1.mine", tmp_path / "events.out.tfevents.1764000000.host.77.0"]
    for path in others:
        path.write_bytes(b"somebody's")
    state = tracker.state_dict()
    tracker.close()
    for path in others:
        path.write_bytes(b"somebody's, and more of it")
    Tracker(tmp_path, updates=10, state=state).close()
    assert [path.read_bytes() for path in others] == [b"somebody's, and more of it"] * 2
    assert not any(path.name in state["lengths"] for path in others)
