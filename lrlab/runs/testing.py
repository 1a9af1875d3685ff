"""The test split of a trained run: it decided nothing before, and each look at it is counted.

test.json  what the weights of the last epoch measure, and how often the split was looked at;  test.npz  every image
test_best.json, test_best.npz  the same of the best epoch's
"""

import io
import json
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrlab.config.again import as_it_was
from lrlab.config.prepare import Prepared, prepare
from lrlab.data.batches import Batches
from lrlab.data.splits import MapDataset
from lrlab.errors import wrong
from lrlab.runs import assemble, checkpoint, summary
from lrlab.runs.folders import require_plain
from lrlab.runs.resume import require_same_run
from lrlab.system import disk
from lrlab.system.lock import held
from lrlab.training.divergence import Diverged
from lrlab.training.loop import Evaluating, evaluate
from lrlab.training.metrics import Means
from lrlab.training.state import TrainState
from lrlab.training.task import Task

NAMES = {"last": "test", "best": "test_best"}  # of the files, by the weights
WEIGHTS = {"last": checkpoint.LAST, "best": checkpoint.BEST}
_MOST_BYTES = 1_000_000_000  # of test.npz; longer ones are none of lrlab's


@dataclass(frozen=True)
class TestScore:
    """What a look at the test split showed."""

    weights: str  # one of WEIGHTS: of the last epoch, or of the best by what the run monitors on val
    step: int  # updates that they were trained for
    images: int
    looks: int  # how often the test split of this run was looked at, by any weights
    measured: dict[str, float]  # test_loss and the like; nothing where the loss is not finite


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
        test = _test_split(prepared)
        state = assemble.build_state(prepared)
        with checkpoint.restoring(path, "state"):
            state.load_state_dict(contents["state"])
        looks = [before.looks for before in (read(folder, one) for one in WEIGHTS) if before is not None]
        means, each = _measured(prepared, state, test)
        found = TestScore(
            weights=weights,
            step=contents["state"]["progress"]["step"],
            images=len(test),
            looks=1 + max(looks, default=0),
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


def _test_split(prepared: Prepared) -> MapDataset:
    """Raises UserError for data that has none."""
    if prepared.splits.test is None:
        raise wrong(
            "evaluate",
            got="a run whose data has no test split",
            allowed="runs that held their validation images out of the training images",
            do="train again with data.val=10%",
        )
    return prepared.splits.test


def _measured(prepared: Prepared, state: TrainState, test: MapDataset) -> tuple[Means, dict[str, NDArray[Any]]]:
    """The means over the test split, and what they are means of: a value (N,) of every metric for each image.

    Both are empty where the loss is not finite.
    """
    batches = Batches(
        test,
        prepared.batching,
        num_classes=prepared.splits.num_classes,
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
            except Diverged:
                return {}, {}
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
    """Write both files; the values of images first, so that a look which is counted has them."""
    said = json.dumps(asdict(found), indent=2, allow_nan=False) + "\n"
    packed = io.BytesIO()
    numpy.savez_compressed(packed, looks=numpy.array(found.looks), **each)  # type: ignore[arg-type]  # of arrays
    name = NAMES[found.weights]
    disk.write_whole(folder / f"{name}.npz", packed.getvalue())
    disk.write_whole(folder / f"{name}.json", said)


def read(folder: Path, weights: str = "last") -> TestScore | None:
    """The score of these weights of the run in `folder`; None where there is none, or where it cannot be read."""
    said = summary.read(folder, f"{NAMES[weights]}.json")
    try:
        measured = {str(name): float(value) for name, value in said["measured"].items()}
        step, images, looks = (int(said[name]) for name in ("step", "images", "looks"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if said.get("weights") != weights or not all(map(math.isfinite, measured.values())):
        return None
    return TestScore(weights, step, images, looks, measured)


def each_image(folder: Path, metric: str) -> NDArray[Any] | None:
    """A metric (N,) of every test image by the last weights, in the order of the test split.

    None where it cannot be read, or is of another look than the score.
    """
    score = read(folder)
    try:
        packed = io.BytesIO(disk.read_regular(folder / f"{NAMES['last']}.npz", _MOST_BYTES))
        with numpy.load(packed, allow_pickle=False) as arrays:
            values, looks = arrays[metric], arrays["looks"]
    except (OSError, ValueError, KeyError, EOFError, MemoryError, BadZipFile):
        return None
    is_list = values.ndim == 1 and values.dtype.kind in "fiub" and len(values) > 0
    is_of_the_score = score is not None and looks.shape == () and int(looks) == score.looks
    return values if is_list and is_of_the_score and numpy.isfinite(values).all() else None
