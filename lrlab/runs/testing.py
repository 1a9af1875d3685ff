"""The test split of a trained run: it decided nothing before, and each look at it is counted.

test.json  what was measured, by which weights, and how often it was looked at;  test.npz  the same for every image
"""

import io
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrlab.config.again import as_it_was
from lrlab.config.prepare import Prepared, prepare
from lrlab.data.batches import Batches
from lrlab.errors import wrong
from lrlab.runs import assemble, checkpoint, summary
from lrlab.runs.folders import require_plain
from lrlab.runs.resume import require_same_run
from lrlab.system import disk
from lrlab.system.lock import held
from lrlab.training.loop import Evaluating, evaluate
from lrlab.training.metrics import Means
from lrlab.training.task import Task

FILE, EACH = "test.json", "test.npz"
WEIGHTS = {"last": checkpoint.LAST, "best": checkpoint.BEST}
_MOST_BYTES = 1_000_000_000  # of test.npz; longer ones are none of lrlab's


@dataclass(frozen=True)
class TestScore:
    """What a look at the test split showed."""

    weights: str  # one of WEIGHTS: of the last epoch, or of the best by what the run monitors on val
    step: int  # updates that they were trained for
    images: int
    looks: int  # how often the test split of this run was looked at
    measured: dict[str, float]  # test_loss and the like


def score(folder: Path, overrides: Sequence[str] = (), *, weights: str = "last") -> TestScore:
    """Measure the trained run in `folder` on its test split, and leave the result there.

    `overrides` say where its data lies and what computes it. Raises UserError for a run that is not finished, for one
    without a test split, and where its data is another one now.
    """
    require_plain(folder)
    with held(folder, what="evaluating"):
        path, contents = _finished(folder, weights)
        with checkpoint.restoring(path, "config"):
            config = as_it_was(contents["config"], path.resolve(), overrides)
        prepared = prepare(config, contents["choices"], contents["overrides"])
        require_same_run(contents, prepared)
        means, each = _measured(prepared, contents, path)
        before = read(folder)
        found = TestScore(
            weights=weights,
            step=contents["state"]["progress"]["step"],
            images=len(each["loss"]),
            looks=1 + (before.looks if before is not None else 0),
            measured={f"test_{name}": value for name, value in means.items()},
        )
        _write(folder, found, each)
        return found


def _finished(folder: Path, weights: str) -> tuple[Path, dict[str, Any]]:
    """The checkpoint with the weights that are measured, and its contents."""
    status = summary.read(folder).get("status", "not run")
    if status != "finished":
        got = f"a run that is not finished ({status})"
        raise wrong("evaluate", got=got, allowed="finished runs", do="finish it first, by resume=FOLDER")
    path = folder / WEIGHTS[weights]
    if weights == "last":
        path, contents = checkpoint.latest(str(folder), lambda _reason: None)
    else:
        contents = checkpoint.load(checkpoint.find(str(path)))
    checkpoint.require_form(path, contents)
    return path, contents


def _measured(prepared: Prepared, contents: dict[str, Any], path: Path) -> tuple[Means, dict[str, NDArray[Any]]]:
    """The means over the test split, and what they are means of: a value (N,) of every metric for each image."""
    splits = prepared.splits
    if splits.test is None:
        raise wrong(
            "evaluate",
            got="a run whose data has no test split",
            allowed="runs that held their validation images out of the training images",
            do="train again with data.val=10%",
        )
    state = assemble.build_state(prepared)
    with checkpoint.restoring(path, "state"):
        state.load_state_dict(contents["state"])
    batches = Batches(
        splits.test,
        prepared.batching,
        num_classes=splits.num_classes,
        seed=prepared.seed,
        device=prepared.device,
        train=False,
    )
    task = prepared.task.to(prepared.device)
    each: list[dict[str, Tensor]] = []
    with closing(batches):
        passing = evaluate(state, task, batches)
        while True:
            try:
                event = next(passing)
            except StopIteration as end:
                means = end.value
                break
            each.append(_of_each_image(task, event))
    return means, {name: torch.cat([batch[name] for batch in each]).numpy() for name in each[0]}


def _of_each_image(task: Task, event: Evaluating) -> dict[str, Tensor]:
    """The metrics (B,) of every image of a batch."""
    pairs = list(zip(event.outputs.float().split(1), event.labels.split(1), strict=True))
    found = {"loss": [task.validation_loss(output, label) for output, label in pairs]}
    for metric in task.metrics:
        if metric.total is not None:
            found[metric.name] = [metric.total(output, label) for output, label in pairs]
    return {name: torch.stack(values).float().cpu() for name, values in found.items()}


def _write(folder: Path, found: TestScore, each: dict[str, NDArray[Any]]) -> None:
    packed = io.BytesIO()
    numpy.savez_compressed(packed, **each)  # type: ignore[arg-type]  # its other parameters are flags
    disk.write_whole(folder / EACH, packed.getvalue())
    disk.write_whole(folder / FILE, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")


def read(folder: Path) -> TestScore | None:
    """The last score of the run in `folder`; None where there is none, or where it cannot be read."""
    said = summary.read(folder, FILE)
    try:
        return TestScore(
            weights=str(said["weights"]),
            step=int(said["step"]),
            images=int(said["images"]),
            looks=int(said["looks"]),
            measured={str(name): float(value) for name, value in said["measured"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def each_image(folder: Path, metric: str) -> NDArray[Any] | None:
    """A metric (N,) of every test image, in the order of the test split; None where it cannot be read."""
    try:
        packed = io.BytesIO(disk.read_regular(folder / EACH, _MOST_BYTES))
        with numpy.load(packed, allow_pickle=False) as arrays:
            values = arrays[metric]
    except (OSError, ValueError, KeyError, EOFError, MemoryError):
        return None
    is_list = values.ndim == 1 and values.dtype.kind in "fiub"
    return values if is_list and numpy.isfinite(values).all() else None
