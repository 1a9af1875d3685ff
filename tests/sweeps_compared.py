"""Sweeps of small runs, and everything that a run leaves, for tests of runs that have to be what they are alone."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.harness import first_difference
from support import history, points, summary
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2

from lrlab.runs import checkpoint

# 25 updates an epoch.
SMALL = ("data=fake", "data.train_images=200", "data.val_images=40", "data.image_size=8", "data.channels=1")
SMALL += ("data.batch_size=8", "data.shift=1")
CNN = ("model=cnn", "model.width=4", "model.dropout=0.2")
HERE = ("hydra.launcher.in_process=true",)

# What no two runs share, whatever they are: how long something took, and when. Nothing else is left out.
CLOCKS_IN_SUMMARY = ("seconds", "begun_with")
CLOCKS_IN_CHECKPOINT = ("begun_with",)


def left(folder: Path) -> dict[str, Any]:
    """Everything that the run in `folder` left, but for clocks, its log and the checkpoint before the last."""
    said = {key: value for key, value in summary(folder).items() if key not in CLOCKS_IN_SUMMARY}
    files = sorted(path.name for path in folder.iterdir() if "tfevents" not in path.name)
    return {
        "files": files,
        "config": (folder / "config.yaml").read_text(),
        "summary": said,
        "history": history(folder),
        "points": points(folder),
        "events": events(folder),
        "last": without_clocks(checkpoint.load(folder / checkpoint.LAST)),
        "best": without_clocks(checkpoint.load(folder / checkpoint.BEST)),
    }


def without_clocks(contents: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without how long its epochs took, and without the bytes of files in which clocks stand."""
    contents = {key: value for key, value in contents.items() if key not in CLOCKS_IN_CHECKPOINT}
    contents["progress"] = {key: value for key, value in contents["progress"].items() if key != "seconds"}
    contents["tracker"] = contents["tracker"]["curves"]
    for state in (contents["state"], contents["state"].get("trained", {})):
        if "progress" in state:
            state["progress"].pop("seconds")
    return contents


def events(folder: Path) -> list[str]:
    """All events in their order, without the moments at which they were written; there is one file of them."""
    (file,) = folder.glob("events.out.tfevents.*")
    found = []
    for event in LegacyEventFileLoader(str(file)).Load():
        event.wall_time = 0
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                told = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
                told.session_start_info.start_time_secs = told.session_end_info.end_time_secs = 0
                value.metadata.plugin_data.content = told.SerializeToString()
        found.append(str(event))
    return found


def sweep(command: Callable[..., Any], *typed: str, name: str, share: bool) -> dict[str, Path]:
    """The folders of the runs of a sweep that is started in the folder `name`, by name."""
    place = Path(name).absolute()
    place.mkdir(exist_ok=True)
    model = () if any(one.startswith(("model=", "model._target_=", "+model=")) for one in typed) else CNN
    with contextlib.chdir(place):
        outcome = command("-m", *SMALL, *model, *HERE, *typed, "sweep=it", f"hydra.launcher.share={str(share).lower()}")
    assert outcome.code == 0, outcome.err + outcome.out
    folder = place / "outputs" / "sweeps" / "it"
    names = json.loads((folder / "sweep.json").read_text())["runs"]
    return {one: folder / one for one in names}


def shared_updates(runs: dict[str, Path]) -> list[int]:
    return [summary(folder).get("begun_with", {"updates": 0})["updates"] for folder in runs.values()]


def require_equal(runs: dict[str, Path], alone: dict[str, Path]) -> None:
    assert runs.keys() == alone.keys()
    for name, folder in runs.items():
        assert first_difference(left(folder), left(alone[name])) == "", name
