"""One value of a whole checkpoint changed: one line, or accepted and trained with; never a traceback, nothing lost."""

import copy
import random
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import TINY, StopAt, train

from lrlab.errors import Interrupted
from lrlab.runs import checkpoint, form, tracking

VALUES = (None, "x", -1, float("nan"), 10**30, [], {}, [1, 2], True, torch.zeros(3))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, *TINY, "trainer.epochs=2")
    return folder


TORCHS_LOG = re.compile(
    r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d+ \d+ torch/"
)  # where a value lets it compile: where CUDA is, say


def paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where the parts of a checkpoint are: of long sequences only the first."""
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from paths(part, (*path, key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value[:3]):
            yield from paths(part, (*path, index))


def changed(whole: Any, path: tuple, value: Any) -> Any:
    if not path:
        return value
    first, *rest = path
    if isinstance(whole, tuple):
        return tuple(changed(list(whole), path, value))
    made = copy.copy(whole)
    made[first] = changed(whole[first], tuple(rest), value)
    return made


def outcomes(trained: Path, command, cases: int, seed: int) -> dict[str, int]:
    """How runs ended that were resumed from checkpoints with one changed value."""
    contents = checkpoint.load(trained / checkpoint.LAST)
    places = [path for path in paths(contents) if path and path[0] != "lrlab"]
    chosen = [(path, value) for path in places for value in VALUES]
    counts = {"line": 0, "trained": 0}
    for path, value in random.Random(seed).sample(chosen, cases):
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree(trained, "run")
        Path("run/checkpoints/previous.pt").unlink()
        made = changed(contents, path, value)
        del made["lrlab"]
        checkpoint.save(Path("run") / checkpoint.LAST, made)
        before = (Path("run") / checkpoint.LAST).read_bytes()
        outcome = command("resume=run", "extend=3")  # what is not expected is raised here
        assert outcome.code in (0, 1), (path, value)
        said = [line for line in outcome.err.splitlines() if not TORCHS_LOG.match(line)]
        assert len(said) == outcome.code, (path, value, outcome.err)
        if outcome.code:
            assert said[0].startswith("lrlab: error: ")
            assert (Path("run") / checkpoint.LAST).read_bytes() == before, (path, value)
        counts["line" if outcome.code else "trained"] += 1
    return counts


def test_one_changed_value_is_one_line_or_is_trained_with(trained, command):
    counts = outcomes(trained, command, cases=40, seed=0)
    assert min(counts.values()) > 0


@pytest.mark.slow
def test_hundreds_of_changed_values_are_one_line_or_are_trained_with(trained, command):
    counts = outcomes(trained, command, cases=400, seed=1)
    assert min(counts.values()) > 0


@pytest.mark.parametrize(
    "typed",
    [
        "scheduler=plateau",
        pytest.param("scheduler=greedy", marks=pytest.mark.slow),
        pytest.param("scheduler=onecycle optimizer=adamw", marks=pytest.mark.slow),
        "scheduler=multistep optimizer.groups.head.lr_scale=2",
        "scheduler=plateau optimizer.groups.head.schedule=wsd optimizer.layer_decay=0.5",
        pytest.param("scheduler=warmup_plateau", marks=pytest.mark.slow),
        "optimizer.schedule.weight_decay=cosine trainer.precision=bf16",
        pytest.param("optimizer._target_=torch.optim.Adafactor", marks=pytest.mark.slow),
        pytest.param("scheduler=sequential checkpoint.every=3st", marks=pytest.mark.slow),
    ],
)
def test_what_any_run_saves_has_the_form_and_is_gone_on_with(command, monkeypatch, typed):
    monkeypatch.setattr(tracking, "MOST_POINTS", 5)  # as of a long run, of which not every point is recorded
    many = ("data.batch_size=8", "trainer.epochs=4")
    assert command(*TINY, *many, *typed.split(), "hydra.run.dir=run").code == 0
    for path in Path("run/checkpoints").glob("*.pt"):
        assert form.first_fault(checkpoint.load(path)) == ""
    longer = command("resume=run", "extend=6")
    assert longer.code == 0, longer.err


def test_what_a_run_saves_has_the_form(trained):
    for name in (checkpoint.LAST, checkpoint.PREVIOUS, checkpoint.BEST):
        assert form.first_fault(checkpoint.load(trained / name)) == ""


@pytest.mark.parametrize("name", ["finished", "stopped"])
def test_what_earlier_versions_saved_has_the_form(name):
    folder = Path(__file__).parents[1] / "fixtures" / "25a6d11" / name
    for path in folder.rglob("*.pt"):
        assert form.first_fault(checkpoint.load(path)) == ""


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("progress", "epochs"), "x", "progress is a dict"),
        (("state", "progress", "step"), None, "state.progress.step is None"),
        (("tracker", "lengths"), [], "tracker.lengths is a list"),
        (("audit",), 3, "audit is 3"),
        (("config", "trainer"), True, "config is a dict"),
    ],
)
def test_the_part_is_named(trained, path, value, said):
    contents = changed(checkpoint.load(trained / checkpoint.LAST), path, value)
    assert form.first_fault(contents) == said


def test_a_part_that_is_missing_is_named(trained):
    contents = checkpoint.load(trained / checkpoint.LAST)
    del contents["state"]["progress"]["step"]
    assert form.first_fault(contents) == "state.progress.step is missing"


@pytest.fixture(scope="module")
def stopped_in_time(tmp_path_factory):
    """A run with a time budget that a signal stopped, and that may be stopped early."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 3)
        with pytest.raises(Interrupted):
            train(folder, *TINY, "trainer.budget=1s", "trainer.stop_early=50")
    return folder


@pytest.mark.parametrize("cases", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_what_ends_a_run_may_be_changed_to_anything(stopped_in_time, command, cases):
    contents = checkpoint.load(stopped_in_time / checkpoint.LAST)
    parts = [("state", name, *path) for name in ("pace", "stop_early") for path in paths(contents["state"][name])]
    chosen = [(path, value) for path in parts for value in VALUES]
    for path, value in random.Random(cases).sample(chosen, cases):
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree(stopped_in_time, "run")
        Path("run/checkpoints/previous.pt").unlink(missing_ok=True)
        made = changed(contents, path, value)
        del made["lrlab"]
        checkpoint.save(Path("run") / checkpoint.LAST, made)
        outcome = command("resume=run")  # what is not expected is raised here
        assert outcome.code in (0, 1), (path, value)
        assert outcome.err.count("\n") == outcome.code, (path, value, outcome.err)
