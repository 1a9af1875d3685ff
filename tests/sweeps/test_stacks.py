"""Runs that train in one step: each is what it is alone in that arithmetic, whoever is beside it."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.harness import first_difference, left
from support import composed, same_weights, summary, weights
from sweeps_compared import CNN, HERE, SMALL, require_equal, sweep

from lrlab.config.prepare import prepare_typed
from lrlab.runs import assemble, checkpoint
from lrlab.runs.guest import guest
from lrlab.stacking import EAGER
from lrlab.stacking.lanes import Lane
from lrlab.stacking.loop import Happened, fit_together
from lrlab.sweeps import table, trial
from lrlab.sweeps.job import Reporter
from lrlab.training.loop import Update

SEEDS = ("scheduler=step,cosine", "seed=0,1", "optimizer.lr=0.02,0.05", "trainer.epochs=2")
ROWS = "trainer.stacked=eager"


def together(command: Callable[..., Any], *typed: str, name: str = "together", most: int = 16) -> dict[str, Path]:
    return sweep(command, *typed, ROWS, f"hydra.launcher.stack={most}", name=name, share=False)


def alone(command: Callable[..., Any], *typed: str) -> dict[str, Path]:
    return sweep(command, *typed, ROWS, name="alone", share=False)


CASES = {
    "a cnn with dropout and shifts": SEEDS,
    "an mlp, by updates": (*SEEDS, "model=mlp", "scheduler=warmup_cosine,onecycle"),
    "an average of the weights": ("seed=0,1", "trainer.average=ema", "trainer.epochs=2"),
    "a run that ends within an epoch": ("seed=0,1", "trainer.steps=35", "trainer.eval_every=2"),
    "each follows its own metric": ("seed=0,1,2", "scheduler=plateau", "scheduler.patience=0", "trainer.epochs=3"),
    "groups": ("seed=0,1", "optimizer=adamw", "optimizer.lr=0.001,0.01", "optimizer.decay_bias_and_norm=false"),
    "momentum and weight decay": ("optimizer.momentum=0,0.9", "optimizer.weight_decay=0,0.01", "trainer.epochs=1"),
    "some stop early": ("seed=0,1,2", "trainer.stop_early=1ep", "optimizer.lr=0.5", "trainer.epochs=6"),
    "clipped": ("seed=0,1", "trainer.clip_grad_norm=0.1", "trainer.epochs=1"),
}


@pytest.fixture
def steps(monkeypatch) -> list[int]:
    """How many runs each step has that is made from now on."""
    made = []

    def spy(lanes: Sequence[Lane], **settings: Any) -> Iterator[Happened]:
        made.append(len(lanes))
        return fit_together(lanes, **settings)

    monkeypatch.setattr(assemble, "fit_together", spy)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("typed", CASES.values(), ids=CASES)
def test_a_run_leaves_what_it_leaves_alone_whoever_trains_beside_it(command, steps, typed):
    runs = together(command, *typed)
    assert steps == [len(runs)]
    require_equal(runs, alone(command, *typed))
    assert steps[1:] == [1] * len(runs)
    require_equal(together(command, *typed, name="by twos", most=2), runs)
    by_twos = steps[1 + len(runs) :]
    assert sum(by_twos) == len(runs)
    assert by_twos.count(2) == len(runs) // 2


def test_a_run_that_diverges_ends_alone(command, steps, tmp_path):
    typed = ("optimizer.lr=0.02,1e20,0.05", "seed=0,1", "trainer.epochs=2", ROWS)
    with contextlib.chdir(tmp_path):
        outcome = command("-m", *SMALL, *CNN, *HERE, *typed, "hydra.launcher.stack=8", "sweep=it")
    assert outcome.code == 1
    assert steps == [6]
    folder = tmp_path / "outputs" / "sweeps" / "it"
    ended = {path.name: summary(path)["status"] for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}
    assert sorted(name for name, status in ended.items() if status == "diverged") == [
        "lr=1e+20,seed=0",
        "lr=1e+20,seed=1",
    ]
    error = summary(folder / "lr=1e+20,seed=0")["error"]
    assert "at update" in error
    assert "lower optimizer.lr" in error
    expected = together(command, "optimizer.lr=0.02,0.05", "seed=0,1", "trainer.epochs=2")
    require_equal({name: folder / name for name in expected}, expected)


@pytest.mark.slow
def test_a_checkpoint_of_a_row_is_as_large_as_that_of_a_run_alone(command):
    few, many = together(command, "seed=0,1", name="few"), together(command, "seed=range(12)", name="many")
    sizes = [(runs["seed=0"] / checkpoint.LAST).stat().st_size for runs in (few, many)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def stop_once(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let a signal come with the first update after `step` that is shown."""
    show, sent = Reporter.show, []

    def shown(reporter, event):
        show(reporter, event)
        if isinstance(event, Update) and event.step >= step and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr(Reporter, "show", shown)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 24, 25, 61])
def test_runs_that_were_stopped_go_on_in_their_form_alone_or_in_other_company(command, steps, monkeypatch, step):
    typed = ("seed=0,1,2,3", "trainer.epochs=3")
    whole = together(command, *typed, name="whole")
    for name, most, company in (("as before", 4, [4]), ("by twos", 2, [2, 2]), ("alone", None, [1, 1, 1, 1])):
        place = Path(name).absolute()
        place.mkdir()
        again = ("-m", *SMALL, *CNN, *HERE, *typed, ROWS, "sweep=it")
        with contextlib.chdir(place), monkeypatch.context() as patch:
            stop_once(patch, step)
            assert command(*again, "hydra.launcher.stack=4").code == 143
        del steps[:]
        with contextlib.chdir(place):
            stacked = () if most is None else (f"hydra.launcher.stack={most}",)
            assert command(*again, *stacked).code == 0
        assert steps == company
        folder = place / "outputs" / "sweeps" / "it"
        for one in whole:
            assert first_difference(left(folder / one), left(whole[one])) == "", one


def paying(monkeypatch: pytest.MonkeyPatch, form: str | None = EAGER, together: float = 0.1) -> list[int]:
    """Let every measurement say that rows pay, or that they do not; returns the rows that were measured."""
    measured = []

    def measure(_prepared: Any, rows: int, **_: int) -> trial.Measured | None:
        measured.append(rows)
        return trial.Measured(1.0, together if form else 2.0, form or EAGER, rows)

    monkeypatch.setattr(trial, "measure", measure)
    return measured


@pytest.mark.slow
def test_a_sweep_measures_before_it_begins_and_what_is_added_later_has_the_form_of_the_others(
    command, steps, monkeypatch
):
    measured = paying(monkeypatch)
    runs = sweep(command, "seed=0,1", "trainer.epochs=1", "hydra.launcher.stack=true", name="it", share=False)
    assert (measured, steps) == ([2], [2])
    assert {summary(folder)["stacked"] for folder in runs.values()} == {"eager"}
    never = paying(monkeypatch, None)
    more = sweep(command, "seed=0,1,2,3", "trainer.epochs=1", "hydra.launcher.stack=true", name="it", share=False)
    assert (never, steps) == ([], [2, 2])
    assert {summary(folder)["stacked"] for folder in more.values()} == {"eager"}
    expected = together(command, "seed=0,1,2,3", "trainer.epochs=1")
    for name, folder in more.items():
        assert same_weights(weights(folder), weights(expected[name]))


def test_runs_whose_steps_are_not_faster_in_rows_train_alone_and_a_line_says_so(command, steps, monkeypatch, tmp_path):
    paying(monkeypatch, None)
    with contextlib.chdir(tmp_path):
        outcome = command(
            "-m", *SMALL, *CNN, *HERE, "seed=0,1", "trainer.epochs=1", "hydra.launcher.stack=8", "sweep=it"
        )
    assert (outcome.code, steps) == (0, [])
    assert "stack      2 runs: alone, 1000.00 ms an update; 2 in a step would take 2000.00 ms each" in outcome.out
    assert "stacked" not in summary(tmp_path / "outputs" / "sweeps" / "it" / "seed=0")


@pytest.mark.parametrize(
    ("free_mb", "said"),
    [
        (10_000, "8 runs: 8 in a step, eager"),
        (900, "8 runs: 4 in a step, for which there is memory, eager"),
        (100, "8 runs: alone, for 1 step of two runs would need more memory than is free"),
    ],
)
def test_a_step_has_as_many_runs_as_there_is_memory_for(command, steps, monkeypatch, free_mb, said):
    """A row that holds 100 MB, and half of what is free."""
    paying(monkeypatch)
    held = iter([1_200_000_000, 1_400_000_000])
    monkeypatch.setattr(trial.memory, "free_bytes", lambda _: free_mb * 1_000_000)
    monkeypatch.setattr(trial.memory, "most_held_bytes", lambda _work, _device: next(held))
    outcome = command(
        "-m", *SMALL, *CNN, *HERE, "trainer.steps=1", "seed=range(8)", "hydra.launcher.stack=true", "sweep=it"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert said in outcome.out
    assert steps == {"8": [8], "4": [4, 4], "alone,": []}[said.split()[2]]


def test_where_nobody_says_what_is_held_a_row_is_taken_to_hold_copies_of_its_weights(monkeypatch):
    prepared = prepare_typed(composed(*SMALL, *CNN), [*SMALL, *CNN])
    weights = sum(one.nbytes for one in assemble.build_state(prepared).model.parameters())
    monkeypatch.setattr(trial.memory, "most_held_bytes", lambda _work, _device: None)
    monkeypatch.setattr(trial.memory, "free_bytes", lambda _: 24 * weights * 10)
    assert trial._rows_with_room(prepared, 2) == 5


@pytest.mark.slow
def test_a_sweep_that_goes_on_has_no_more_rows_than_there_is_memory_for(command, steps, monkeypatch):
    typed = ("seed=range(6)", "trainer.epochs=1", "hydra.launcher.stack=true")
    paying(monkeypatch)
    sweep(command, "seed=0,1", *typed[1:], name="it", share=False)
    monkeypatch.setattr(trial, "_rows_with_room", lambda _prepared, _processes: 2)
    del steps[:]
    sweep(command, *typed, name="it", share=False)
    assert steps == [2, 2]


@pytest.mark.slow
def test_runs_that_are_trained_faster_by_sharing_their_beginnings_share_them(command, steps, monkeypatch, tmp_path):
    """Of twice 250 updates 201 are shared: alone 299 are trained, which takes less than 500 of 0.6 each."""
    typed = ("-m", *SMALL, *CNN, *HERE, "scheduler=wsd", "scheduler.lr_lambda.decay=10%,20%", "trainer.epochs=10")
    for together, share, expected in ((0.6, "true", []), (0.6, "false", [2]), (0.5, "true", [2])):
        paying(monkeypatch, together=together)
        launcher = ("hydra.launcher.stack=true", f"hydra.launcher.share={share}", f"sweep={together}_{share}")
        with contextlib.chdir(tmp_path):
            outcome = command(*typed, *launcher)
        assert (outcome.code, steps) == (0, expected)
        says_why = "2 runs: alone, 1000.00 ms for each of 299 updates, for the other 201 are shared" in outcome.out
        assert says_why == (not expected)
        del steps[:]


def test_a_measurement_says_how_long_an_update_takes_each_way_and_leaves_the_process_as_it_was():
    prepared = prepare_typed(composed(*SMALL, "model=mlp"), [])
    before = torch.get_rng_state()
    with guest():
        found = trial.measure(prepared, 4, updates=10)
    assert found is not None
    assert found.form == "eager"
    assert 0 < found.together < 1
    assert 0 < found.alone < 1
    assert torch.equal(torch.get_rng_state(), before)


MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, num_classes, kind):
        super().__init__()
        self.kind, self.head = kind, nn.Linear(64, num_classes)
        self.layer = {
            "rrelu": nn.RReLU, "lstm": lambda: nn.LSTM(64, 64), "cumulative": lambda: nn.BatchNorm1d(64, momentum=None),
        }.get(kind, nn.Identity)()
        self.constant = torch.randn(64, dtype=torch.float64)

    def forward(self, x):
        x = x.flatten(1)
        if self.kind == "control" and x.mean() > 0:
            x = -x
        if self.kind == "noise":
            x = x + torch.randn_like(x)
        if self.kind == "constant":
            x = x * self.constant.to(x.dtype)
        x = self.layer(x)
        return self.head(x[0] if self.kind == "lstm" else x)
"""
REASONS = [
    (("optimizer=adagrad",), "Adagrad is none of SGD, Adam, AdamW, RMSprop"),
    (("optimizer=lion",), "Lion is none of"),
    (("trainer.precision=bf16",), "trainer.precision=bf16"),
    (("trainer.accumulate=2",), "trainer.accumulate=2"),
    (("trainer.compile=true",), "trainer.compile=True"),
    (("trainer.channels_last=true",), "trainer.channels_last=true"),
    (("trainer.epochs=null", "trainer.budget=1s"), "trainer.budget"),
    (("data.cache=none",), "data.cache=none"),
    *(
        ((f"+model={{_target_: own_net.Net, kind: {kind}}}",), reason)
        for kind, reason in {
            "rrelu": "aten::rrelu",
            "lstm": "aten::lstm",
            "cumulative": "reads numbers from tensors",
            "control": "reads numbers from tensors",
            "noise": "draws random numbers",
            "constant": "loss is another one in a row than alone",
        }.items()
    ),
]


QUICK = ("Adagrad is none of SGD, Adam, AdamW, RMSprop", "trainer.accumulate=2", "draws random numbers")


@pytest.mark.parametrize(
    ("typed", "reason"),
    [pytest.param(*case, id=case[1], marks=() if case[1] in QUICK else pytest.mark.slow) for case in REASONS],
)
def test_what_cannot_be_computed_in_rows_trains_alone_and_a_line_says_why(command, steps, typed, reason):
    Path("own_net.py").write_text(MODEL)
    base = ("-m", *SMALL, *HERE, *typed, "seed=0,1", "sweep=it")
    typed = tuple(one for one in base if not one.startswith("data.shift"))
    if not any("trainer.budget" in one for one in typed):
        typed += ("trainer.epochs=1",)
    outcome = command(*typed, "hydra.launcher.stack=true")
    assert reason in outcome.out, outcome.out + outcome.err
    assert "2 runs: alone" in outcome.out
    assert steps == []


@pytest.mark.slow
def test_runs_that_were_saved_at_other_updates_catch_up_and_go_on_together(command, steps, monkeypatch, tmp_path):
    typed = ("seed=0,1,2,3", "trainer.epochs=4")
    whole = together(command, *typed, name="whole")
    again = ("-m", *SMALL, *CNN, *HERE, *typed, ROWS, "sweep=it")
    for step, kept in ((30, "seed=0"), (61, "seed=1")):  # two are there at other updates than the others
        place = tmp_path / str(step)
        place.mkdir()
        with contextlib.chdir(place), monkeypatch.context() as patch:
            stop_once(patch, step)
            assert command(*again, "hydra.launcher.stack=4").code == 143
        shutil.copytree(place / "outputs" / "sweeps" / "it" / kept, tmp_path / "outputs" / "sweeps" / "it" / kept)
    del steps[:]
    monkeypatch.chdir(tmp_path)
    assert command(*again, "hydra.launcher.stack=4").code == 0
    assert steps == [1, 2, 2]  # of the begun ones, one catches up with the other; then the new ones
    for one in whole:
        found = left(tmp_path / "outputs" / "sweeps" / "it" / one)
        assert first_difference(found, left(whole[one])) == "", one


@pytest.mark.slow
def test_a_value_that_is_added_alone_has_the_form_of_the_others(command, monkeypatch):
    paying(monkeypatch)
    typed = ("trainer.epochs=1", "hydra.launcher.stack=true")
    sweep(command, "seed=0,1", *typed, name="it", share=False)
    runs = sweep(command, "seed=0,1,2", *typed, name="it", share=False)
    assert {summary(folder)["stacked"] for folder in runs.values()} == {EAGER}


def test_an_lr_that_would_diverge_is_no_obstacle_to_a_trial(command, tmp_path):
    with contextlib.chdir(tmp_path):
        typed = ("model=mlp", "optimizer.lr=1e20,0.05,0.1", "trainer.epochs=1", "hydra.launcher.stack=true", "sweep=it")
        outcome = command("-m", *SMALL, *HERE, *typed)
    assert "stack      3 runs: " in outcome.out
    assert summary(tmp_path / "outputs" / "sweeps" / "it" / "lr=0.05")["status"] == "finished"


@pytest.mark.slow
def test_averages_of_a_model_that_drops_depend_on_no_company(command, monkeypatch):
    Path("dropping_net.py").write_text(DROPPING)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    typed = ("+model={_target_: dropping_net.Net}", "trainer.average=ema", "trainer.epochs=2", "seed=0,1")
    require_equal(together(command, *typed), alone(command, *typed))


DROPPING = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, input_shape, num_classes):
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, num_classes))
"""


def test_a_failure_is_told_while_the_others_train(command, tmp_path, monkeypatch):
    told = []
    ended = table.Board.ended

    def spy(board, job, outcome):
        told.append((outcome.status, len(at_work)))
        ended(board, job, outcome)

    at_work = []
    show = Reporter.show

    def shown(reporter, event):
        if isinstance(event, Update):
            at_work.append(event.step)
        show(reporter, event)

    monkeypatch.setattr(Reporter, "show", shown)
    monkeypatch.setattr(table.Board, "ended", spy)
    monkeypatch.chdir(tmp_path)
    command("-m", *SMALL, *CNN, *HERE, "optimizer.lr=0.02,1e20", "trainer.epochs=3", ROWS, "hydra.launcher.stack=2")
    assert [status for status, _ in told] == ["diverged", "finished"]
    assert told[0][1] < told[1][1] / 2


@pytest.mark.slow
def test_a_run_that_diverges_beside_compiled_rows_ends_alone(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ("model=mlp", "optimizer.lr=0.02,1e20,0.05", "trainer.epochs=2", "trainer.stacked=compiled-3")
    assert command("-m", *SMALL, *HERE, *typed, "hydra.launcher.stack=3", "sweep=it").code == 1
    ended = {lr: summary(tmp_path / f"outputs/sweeps/it/lr={lr}")["status"] for lr in ("0.02", "1e+20", "0.05")}
    assert ended == {"0.02": "finished", "1e+20": "diverged", "0.05": "finished"}


@pytest.mark.parametrize("value", ["compiled", "compiled-1", "compiled-x", "fast", "2"])
def test_a_form_that_there_is_not_is_refused(command, value):
    outcome = command(*SMALL, f"trainer.stacked={value}")
    assert outcome.code == 1
    assert f"trainer.stacked: got {value}; allowed: false, true, eager, or compiled-N" in outcome.err


def test_a_run_that_cannot_be_computed_in_rows_says_so_where_it_is_asked_to(command):
    outcome = command(*SMALL, "trainer.stacked=eager", "optimizer=lion")
    assert outcome.code == 1
    assert "trainer.stacked: got eager, for a run that cannot be computed in rows: Lion is none of" in outcome.err


@pytest.mark.parametrize(("typed", "said"), [(("2.5",), "an integer"), (("1",), ">= 2"), (("many",), "true, false")])
def test_a_number_of_runs_in_a_step_that_cannot_be_is_refused(command, typed, said):
    outcome = command("-m", *SMALL, "seed=0,1", f"hydra.launcher.stack={typed[0]}")
    assert outcome.code == 1
    assert "hydra.launcher.stack: got" in outcome.err
    assert said in outcome.err


@pytest.mark.parametrize("count", [1, 2, 3, 7, 27, 108, 1000])
@pytest.mark.parametrize("most", [2, 5, 32])
@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_no_step_has_more_runs_than_it_may_and_each_run_has_one(count, most, n_jobs):
    sizes = trial.sizes(count, most, n_jobs)
    assert sum(sizes) == count
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert count < 2 * n_jobs or len(sizes) % n_jobs == 0 or len(sizes) == -(-count // most)
