"""What the tests share: small runs in the test's own process, and the files that a run leaves."""

import csv
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lrlab import cli, compose, experiment

ROOT = Path(__file__).parents[1]
DATASETS = ROOT.parent / "shared" / "datasets"
torch.set_num_threads(1)

needs_datasets = pytest.mark.skipif(not DATASETS.is_dir(), reason=f"no data sets in {DATASETS}")


@dataclass
class Outcome:
    """How a command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test runs in an empty folder, and closes the log files that Hydra opened for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler, logging.FileHandler):
            handler.close()
            logging.getLogger().removeHandler(handler)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run `python train.py ARGUMENTS` in this process."""

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        return Outcome(code, *capsys.readouterr())

    return run


def train(folder: Path, *overrides: str) -> dict[str, Any]:
    """Train in `folder` what `overrides` say, without the command line, and return the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    config = compose.compose(overrides)
    choices = dict(config.hydra.runtime.choices)
    groups = ("data", "model", "optimizer", "scheduler")
    experiment.run(config, folder, choices={group: choices[group] for group in groups}, overrides=list(overrides))
    return summary(folder)


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of history.csv, without `seconds`, which no two runs share."""
    with (folder / "history.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)["state"]["model"]


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every point of every scalar in the event files, as they lie there: doubled ones show."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0}, purge_orphaned_data=False).Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def conf_names() -> Callable[[str], list[str]]:
    """The options of a group, read from its folder."""
    return lambda group: sorted(path.stem for path in (compose.CONF / group).glob("*.yaml"))
