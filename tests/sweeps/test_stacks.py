"""Runs that train in one step: each is what it is alone in that arithmetic, whoever is beside it."""

import contextlib
import os
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
from lrlab.stacking import FORMS
from lrlab.stacking.loop import Happened, Lane, fit_together
from lrlab.sweeps import trial
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


@pytest.mark.parametrize("typed", CASES.values(), ids=CASES)
def test_a_run_leaves_what_it_leaves_alone_whoever_trains_beside_it(command, steps, typed):
    runs = together(command, *typed)
    assert steps == [len(runs)]
    require_equal(runs, alone(command, *typed))
    assert steps[1:] == [1] * len(runs)
    require_equal(together(command, *typed, name="by twos", most=2), runs)
    assert set(steps[1 + len(runs) :]) <= {1, 2, 3}


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


@pytest.mark.parametrize("step", [61, *(pytest.param(step, marks=pytest.mark.slow) for step in (3, 24, 25))])
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


def paying(monkeypatch: pytest.MonkeyPatch, form: str | None = FORMS[0]) -> list[int]:
    """Let every measurement say that rows pay, or that they do not; returns the rows that were measured."""
    measured = []

    def measure(_prepared: Any, rows: int, **_: int) -> trial.Measured | None:
        measured.append(rows)
        return trial.Measured(1.0, 0.1 if form else 2.0, form or FORMS[0])

    monkeypatch.setattr(trial, "measure", measure)
    return measured


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


@pytest.mark.parametrize(("typed", "reason"), REASONS, ids=[reason for _, reason in REASONS])
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
