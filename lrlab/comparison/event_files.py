"""What other programs wrote for TensorBoard: the scalars and the hyperparameters of each run, as rows of a table."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATTERN = "*tfevents*"
_PART = re.compile(r"([A-Za-z_][\w.]*)=([^,/ ]+)")


def rows(folder: Path) -> list[dict[str, Any]]:
    """A row a step of every run below `folder`: `run`, `step`, its hyperparameters, and the scalars of that step.

    The last value of each scalar is among them, also where others have later steps.
    """
    found: list[dict[str, Any]] = []
    runs = {run: _read(run) for run in sorted({file.parent for file in folder.rglob(PATTERN)})}
    _hand_up(runs)
    for run, (scalars, hyperparameters) in runs.items():
        name = str(run.relative_to(folder)) if run != folder else folder.name
        known = {**_in_its_name(name), **hyperparameters}
        steps: dict[int, dict[str, Any]] = {}
        for tag, points in scalars.items():
            for step, value in points:
                steps.setdefault(step, {})[tag] = value
        for step, values in sorted(steps.items()):
            found.append({**values, "run": name, "step": step, **known})  # a tag `lr` is the LR in force
    return found


def scalar(folder: Path, tag: str) -> list[tuple[int, float]]:
    """The points (step, value) of one scalar of the run in `folder`, in the order of the files."""
    return _read(folder)[0].get(tag, [])


def _hand_up(runs: dict[Path, tuple[dict[str, list[tuple[int, float]]], dict[str, Any]]]) -> None:
    """Give hyperparameters to the run above, where torch's `add_hparams` has put them into a folder of their own."""
    for run in list(runs):
        scalars, hyperparameters = runs[run]
        above = runs.get(run.parent)
        if above is not None and hyperparameters and not above[1]:
            runs[run.parent] = ({**scalars, **above[0]}, hyperparameters)
            del runs[run]


def _in_its_name(name: str) -> dict[str, str]:
    """What a run's folder is named after: `scheduler=cosine,lr=0.1,seed=0` say.

    >>> _in_its_name("sweep/scheduler=cosine,lr=0.1,seed=0")
    {'scheduler': 'cosine', 'lr': '0.1', 'seed': '0'}
    """
    return dict(_PART.findall(name))


def _read(run: Path) -> tuple[dict[str, list[tuple[int, float]]], dict[str, Any]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    scalars: dict[str, list[tuple[int, float]]] = {}
    for tag in accumulator.Tags()["scalars"]:
        scalars[tag] = [(event.step, event.value) for event in accumulator.Scalars(tag)]
    for tag in accumulator.Tags()["tensors"]:  # as TensorFlow and Keras write them
        points = list(_numbers(accumulator, tag))
        if points:
            scalars[tag] = points
    return scalars, _hyperparameters(accumulator)


def _numbers(accumulator: Any, tag: str) -> Iterator[tuple[int, float]]:
    from tensorboard.util.tensor_util import make_ndarray

    for event in accumulator.Tensors(tag):
        value = make_ndarray(event.tensor_proto)
        if value.size == 1 and value.dtype.kind in "fiu":
            yield event.step, float(value)


def _hyperparameters(accumulator: Any) -> dict[str, Any]:
    """What the HPARAMS tab shows of a run."""
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    contents = accumulator.summary_metadata.get(metadata.SESSION_START_INFO_TAG)
    if contents is None:
        return {}
    data = HParamsPluginData.FromString(contents.plugin_data.content)
    found: dict[str, Any] = {}
    for name, value in data.session_start_info.hparams.items():
        kind = value.WhichOneof("kind")
        if kind is not None:
            found[name] = getattr(value, kind)
    return found
