"""A run that averages its weights: what it leaves, that it goes on bit for bit, and which weights best.pt holds."""

import re
import shutil
import signal
from functools import partial
from pathlib import Path

import numpy
import pytest
import torch
from forked import start_ranks
from support import UPDATES, StopAt, history, points, same_weights, summary, train, weights

import lrlab
from lrlab.commands import evaluate
from lrlab.errors import Interrupted, UserError
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import Plan
from lrlab.runs import averaged, checkpoint, run, scores
from lrlab.system import distributed
from lrlab.training.validation import Evaluating

BATCHNORM = """
from torch import nn

def net(num_classes, input_shape):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
                         nn.Linear(144, num_classes))
"""
SHORT = ("model._target_=my_net.net", "trainer.epochs=4", "data.batch_size=256")  # 6 updates in an epoch
WAYS = {
    "ema": ("trainer.average=ema", "trainer.average_window=5"),
    "swa": ("trainer.average=swa", "trainer.average_start=5st", "trainer.average_every=4"),
    "lawa": ("trainer.average=lawa", "trainer.average_every=5st", "trainer.average_last=3"),
}


@pytest.fixture(autouse=True)
def net(tmp_path, monkeypatch):
    (tmp_path / "my_net.py").write_text(BATCHNORM)
    monkeypatch.syspath_prepend(tmp_path)


def averaged_weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / "checkpoints" / f"{name}.pt")["state"]["average"]["model"]


def test_a_run_leaves_what_its_averaged_weights_measure_beside_the_rest(command, tmp_path):
    ended = command(*SHORT, *WAYS["swa"], "scheduler=constant", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    folder = tmp_path / "run"
    rows, said, recorded = history(folder), summary(folder), points(folder)
    assert (folder / "history.csv").read_text().splitlines()[0] == (
        "epoch,step,lr,train_loss,train_accuracy,val_loss,val_accuracy,average_val_loss,average_val_accuracy,seconds"
    )
    assert [bool(row["average_val_loss"]) for row in rows] == [False, True, True, True]  # begun in the second epoch
    for metric, better in (("loss", min), ("accuracy", max)):
        name = f"average_val_{metric}"
        values = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        assert recorded[f"average/val_{metric}"] == [(step, float(numpy.float32(value))) for step, value in values]
        assert said[name] == values[-1][1]
        assert said[f"best_{name}"] == better(value for _, value in values)
    assert said["average"] == {"name": "swa", "start": 5, "every": 4, "mean_step": 16.0, "like_decay_over": 16}
    lines = ended.out.splitlines()
    assert "average    swa of the weights after every 4 updates, begun after update 5" in lines
    shown = [line for line in lines if line.startswith("epoch ")]
    assert re.search(r"val loss +\d\.\d{4}  acc +\d+\.\d\d%   no average yet {12,}", shown[0])
    assert all(re.search(r"   average loss +\d\.\d{4}  acc +\d+\.\d\d%  ", line) for line in shown[1:])
    assert len({len(line) for line in shown}) == 1  # its columns stand under each other
    [result] = [line for line in lines if line.startswith("finished: ")]
    assert f"; average val loss {said['average_val_loss']:.4f}, average val accuracy " in result
    assert (
        f"the average, val loss {said['average_val_loss']:.4f}, val accuracy {said['average_val_accuracy']:.2%}, is "
        "about what a decay of the constant LR over the last 67% (16 updates) would have given"
    ) in lines


def test_where_the_lr_fell_nothing_is_said_of_a_decay(command, tmp_path):
    ended = command(*SHORT, *WAYS["ema"], "scheduler=cosine", "hydra.run.dir=run")
    assert "would have given" not in ended.out
    assert summary(tmp_path / "run")["average"]["like_decay_over"] is None


def plan(*lrs: float, interval: str = "step", updates: int = 1) -> Plan:
    epochs = len(lrs) if interval == "epoch" else 1
    per_epoch = updates if interval == "epoch" else len(lrs)
    return Plan(Horizon(epochs, per_epoch), interval, {"lr": lrs})


@pytest.mark.parametrize(
    ("made", "updates", "is_constant"),
    [
        (plan(0.1, 0.1, 0.1, 0.1), 4, True),
        (plan(0.1, 0.2, 0.2, 0.2), 3, True),  # after a warm-up
        (plan(0.2, 0.1, 0.1, 0.1), 3, False),  # between two stairs
        (plan(0.2, 0.1, 0.1, 0.1), 4, False),
        (plan(0.1, 0.1, 0.1, 0.09), 2, False),
        (plan(0.1, 0.1), 3, False),  # longer than the run
        (plan(0.1, 0.1), 0, False),  # an average of the last weights alone
        (plan(0.1, 0.2, interval="epoch", updates=3), 3, True),
        (plan(0.2, 0.1, interval="epoch", updates=3), 3, False),
        (plan(0.2, 0.1, interval="epoch", updates=3), 4, False),
        (Plan(Horizon(1, 4), "epoch", {}), 2, False),  # a metric decides
    ],
)
def test_an_lr_is_constant_if_no_update_of_the_stretch_had_another(made, updates, is_constant):
    assert averaged.was_constant(made, made.horizon.steps, updates) is is_constant


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_the_same_with_and_without_an_average(tmp_path, way):
    train(tmp_path / "plain", *SHORT)
    train(tmp_path / "beside", *SHORT, *WAYS[way])
    assert same_weights(weights(tmp_path / "plain"), weights(tmp_path / "beside"))
    assert same_weights(weights(tmp_path / "plain", "best"), weights(tmp_path / "beside", "best"))
    plain, beside = history(tmp_path / "plain"), history(tmp_path / "beside")
    assert plain == [{name: row[name] for name in plain[0]} for row in beside]
    recorded = points(tmp_path / "beside")
    assert points(tmp_path / "plain") == {tag: recorded[tag] for tag in recorded if not tag.startswith("average/")}


def assert_same(folder: Path, whole: Path) -> None:
    assert same_weights(weights(folder), weights(whole))
    assert same_weights(averaged_weights(folder), averaged_weights(whole))
    assert same_weights(weights(folder, "best"), weights(whole, "best"))
    assert history(folder) == history(whole)
    assert points(folder) == points(whole)
    ours, theirs = summary(folder), summary(whole)
    assert {name: ours[name] for name in ours if name != "seconds"} == {n: theirs[n] for n in theirs if n != "seconds"}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_is_stopped_at_any_update_ends_as_if_it_had_not_been(tmp_path, way):
    typed = (*SHORT, *WAYS[way], "trainer.epochs=3", "trainer.monitor=average_val_loss")
    train(tmp_path / "whole", *typed)
    for stop in range(0, 18, 2):
        folder = tmp_path / f"stopped {stop}"
        with pytest.MonkeyPatch.context() as patch:
            StopAt(patch, signal.SIGTERM, stop)
            with pytest.raises(Interrupted):
                train(folder, *typed)
        train(folder, *typed, f"resume='{folder}'")
        assert_same(folder, tmp_path / "whole")


@pytest.mark.parametrize("batch", [0, 1, 2, 3])
def test_a_run_that_is_stopped_while_it_validates_goes_on_too(tmp_path, monkeypatch, batch):
    """Validation has a batch of the weights and then one of the average; the second epoch has both."""
    typed = (*SHORT, *WAYS["ema"])
    train(tmp_path / "whole", *typed)
    seen, agreed = [], run.assemble.stop_is_agreed

    def stop(event, request):
        seen.append(event)
        if isinstance(event, Evaluating) and sum(isinstance(one, Evaluating) for one in seen) == batch + 1:
            request.note(signal.SIGTERM)
        return agreed(event, request)

    monkeypatch.setattr(run.assemble, "stop_is_agreed", stop)
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", *typed)
    monkeypatch.setattr(run.assemble, "stop_is_agreed", agreed)
    train(tmp_path / "stopped", *typed, f"resume={tmp_path / 'stopped'}")
    assert_same(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_in_sixteen_bits_the_average_is_of_32_and_goes_on_bit_for_bit(tmp_path, monkeypatch, precision):
    typed = (*SHORT, *WAYS["ema"], f"trainer.precision={precision}", "trainer.accumulate=2")
    train(tmp_path / "whole", *typed)
    StopAt(monkeypatch, signal.SIGTERM, 9)
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", *typed)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "stopped", *typed, f"resume={tmp_path / 'stopped'}")
    assert_same(tmp_path / "stopped", tmp_path / "whole")
    assert {one.dtype for one in averaged_weights(tmp_path / "whole").values()} == {torch.float32, torch.int64}


def test_best_is_the_average_where_that_is_monitored_and_the_run_goes_on_from_it(command, tmp_path):
    typed = (*SHORT, *WAYS["lawa"], "hydra.run.dir=run", "optimizer.lr=0.1", "scheduler=constant")
    ended = command(*typed, "trainer.monitor=average_val_loss")
    assert ended.code == 0, ended.err
    folder = tmp_path / "run"
    rows, said = history(folder), summary(folder)
    values = {int(row["epoch"]): float(row["average_val_loss"]) for row in rows if row["average_val_loss"]}
    best = min(values, key=values.get)
    assert (said["best_epoch"], said["best_monitored"]) == (best, values[best])
    assert f"best average val loss {values[best]:.4f} in epoch {best + 1} (best.pt)" in ended.out

    # The weights in front are those that measured it.
    saved = checkpoint.load(folder / "checkpoints" / "best.pt")
    assert saved["state"]["progress"]["epoch"] == best + 1
    assert "model" not in saved["state"]["average"]
    assert not same_weights(saved["state"]["model"], saved["state"]["average"]["trained"])

    # A run that goes on from there trains the others.
    shutil.copytree(folder, tmp_path / "copy")
    gone_on = command("resume=copy/checkpoints/best.pt", "extend=5", SHORT[0])
    assert gone_on.code == 0, gone_on.err
    assert command("resume=run", "extend=5", SHORT[0]).code == 0
    assert same_weights(weights(tmp_path / "copy"), weights(folder))
    assert same_weights(averaged_weights(tmp_path / "copy"), averaged_weights(folder))
    assert history(tmp_path / "copy") == history(folder)


def test_of_weights_as_they_are_best_holds_those(tmp_path):
    train(tmp_path / "run", *SHORT, *WAYS["ema"], "trainer.monitor=val_loss")
    state = checkpoint.load(tmp_path / "run" / "checkpoints" / "best.pt")["state"]
    assert "trained" not in state["average"]
    assert not same_weights(state["model"], state["average"]["model"])


@pytest.fixture
def look(enter):
    """Run `lrlab evaluate ARGUMENTS` in this process."""
    return partial(enter, evaluate.main)


def test_averaged_weights_are_measured_on_test_images_and_loaded(look, tmp_path):
    said = train(tmp_path / "run", *SHORT, *WAYS["ema"], "trainer.monitor=average_val_accuracy")
    for name in ("average", "best", "last"):
        assert look("run", f"evaluate.weights={name}", SHORT[0]).code == 0
    average, best, last = (scores.read(tmp_path / "run", name) for name in ("average", "best", "last"))
    assert (average.weights, average.looks, best.looks, last.looks) == ("average", 1, 2, 3)
    assert average.measured != last.measured
    assert (average.measured == best.measured) == (said["best_epoch"] == 3)
    ran = lrlab.Run(tmp_path / "run", SHORT[0])
    kept = averaged_weights(tmp_path / "run")
    assert same_weights(dict(ran.load_model("average").state_dict()), kept)
    assert same_weights(dict(ran.load_model("best").state_dict()), weights(tmp_path / "run", "best"))
    assert same_weights(dict(ran.model.state_dict()), weights(tmp_path / "run"))
    assert not same_weights(dict(ran.model.state_dict()), kept)


def test_a_run_without_an_average_has_none_to_measure_or_to_load(look, tmp_path):
    train(tmp_path / "run", "model=linear", "trainer.epochs=1")
    refused = look("run", "evaluate.weights=average")
    assert refused.err == (
        "lrlab: error: evaluate: got a run that did not average its weights; allowed: runs with trainer.average; do: "
        "evaluate.weights=last, or train again with trainer.average=ema\n"
    )
    with pytest.raises(UserError, match='weights: got "average", of a run that has none; allowed: last, best; do: '):
        lrlab.Run(tmp_path / "run").load_model("average")


def test_an_earlier_checkpoint_that_knows_no_averages_goes_on(command, tmp_path):
    assert command("model=linear", "trainer.epochs=2", "hydra.run.dir=run").code == 0
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    contents = checkpoint.load(last)
    trainer = contents["config"]["trainer"]
    contents["config"]["trainer"] = {name: trainer[name] for name in trainer if not name.startswith("average")}
    checkpoint.save(last, contents)
    refused = command("resume=run", "extend=3", "trainer.average=ema")
    assert "trainer.average: got ema, but the checkpoint was saved with None; " in refused.err
    assert command("resume=run", "extend=3").code == 0


@pytest.mark.slow
def test_in_a_longer_run_swa_begins_where_it_does_there_and_ema_goes_on(command, tmp_path):
    for name, typed in (("swa", ()), ("ema", ("trainer.average_window=10%",))):
        run_of = (*SHORT, f"trainer.average={name}", *typed, "trainer.epochs=10", f"hydra.run.dir={name}")
        assert command(*run_of).code == 0
    longer = command("resume=swa", "extend=20", SHORT[0])
    assert "the average begins anew after update 90, where that of a run of this length does" in longer.out
    said = summary(tmp_path / "swa")
    assert said["average"] | {"like_decay_over": 0} == {
        **{"name": "swa", "start": 90, "every": 6},
        **{"mean_step": pytest.approx(6 * (16 + 20) / 2), "like_decay_over": 0},
    }
    measured = [bool(row["average_val_loss"]) for row in history(tmp_path / "swa")]
    assert measured == [epoch in (7, 8, 9) or epoch >= 15 for epoch in range(20)]
    longer = command("resume=ema", "extend=20", SHORT[0])
    assert longer.code == 0
    assert "begins anew" not in longer.out
    assert summary(tmp_path / "ema")["average"]["window"] == 12
    assert all(row["average_val_loss"] for row in history(tmp_path / "ema"))


def test_what_is_no_average_is_no_checkpoint_of_one(command, tmp_path):
    assert command(*SHORT, *WAYS["lawa"], "hydra.run.dir=run").code == 0
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    for broken in ({"latest": 3}, {"gathered": "much"}, {"model": 3}, {"latest": [{"step": -1, "weights": []}]}):
        contents = checkpoint.load(last)
        contents["state"]["average"] |= broken
        checkpoint.save(tmp_path / "run" / "checkpoints" / "odd.pt", contents)
        refused = command("resume=run/checkpoints/odd.pt", "extend=5", SHORT[0])
        assert refused.code == 1
        assert "whose state.average is a dict; allowed: a checkpoint as lrlab writes it" in refused.err


@pytest.mark.slow
def test_two_ranks_average_what_one_does(tmp_path):
    sizes = ("data=fake", "data.train_images=200", "data.val_images=101", "data.image_size=8", "data.channels=1")
    typed = (*sizes, "model=mlp", "trainer.epochs=2", "trainer.device=cpu", *WAYS["ema"])
    typed = (*typed, "trainer.monitor=average_val_loss")
    alone = train(tmp_path / "alone", *typed)
    ranks = start_ranks(2, *typed, "hydra.run.dir=both")
    outputs = ["".join(rank.communicate()) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    both = summary(tmp_path / "both")
    for name in ("average_val_loss", "average_val_accuracy", "val_loss"):
        assert both[name] == pytest.approx(alone[name], rel=1e-4)
    ours, theirs = averaged_weights(tmp_path / "both"), averaged_weights(tmp_path / "alone")
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-6) for name in theirs)
    assert distributed.ranks() == 1


@pytest.mark.slow
def test_a_sweep_averages_in_every_run(command, tmp_path):
    ended = command("-m", "trainer.average=null,ema,lawa", "model=linear", "trainer.epochs=2", "sweep=ways")
    assert ended.code == 0, ended.err
    folder = tmp_path / "outputs" / "sweeps" / "ways"
    said = {name: summary(folder / f"average={name}") for name in ("null", "ema", "lawa")}
    assert len({one["val_loss"] for one in said.values()}) == 1
    assert [one.get("average_val_loss") is not None for one in said.values()] == [False, True, True]
    assert said["ema"]["updates"] == 2 * UPDATES
    shown = lrlab.Run(folder / "average=ema")
    assert "average_val_loss" in shown.history
    assert "<svg" in shown._repr_html_()
