"""The test split of a trained run is measured: it decided nothing before, and each look at it is counted."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrlab.config.again import as_it_was
from lrlab.config.prepare import Prepared, prepare
from lrlab.data.batches import Batches
from lrlab.data.map_datasets import MapDataset
from lrlab.errors import UserError, wrong
from lrlab.runs import assemble, checkpoint, scores, summary
from lrlab.runs.folders import require_plain
from lrlab.runs.resume import require_same_run
from lrlab.runs.scores import TestScore
from lrlab.system.lock import held
from lrlab.training import averages
from lrlab.training.divergence import Diverged
from lrlab.training.metrics import Means
from lrlab.training.state import TrainState
from lrlab.training.task import Task
from lrlab.training.validation import Evaluating, evaluate

WEIGHTS = {"last": checkpoint.LAST, "best": checkpoint.BEST, "average": checkpoint.LAST}


def score(folder: Path, overrides: Sequence[str] = (), *, weights: str = "last") -> TestScore:
    """Measure the trained run in `folder` on its test split, and leave the result there.

    `overrides` say where its data lies and what computes it. Raises UserError for a run that is not finished, for one
    without a test split, and where its data is another one now.
    """
    require_plain(folder)
    with held(folder, what="evaluating"):
        path, contents = _finished(folder, weights)
        if weights == "average" and not has_average(contents):
            raise _no_average()
        with checkpoint.restoring(path, "config"):
            config = as_it_was(contents["config"], path.resolve(), overrides)
        prepared = prepare(config, contents["choices"], contents["overrides"])
        require_same_run(contents, prepared)
        test = _test_split(prepared)
        state = assemble.build_state(prepared)
        with checkpoint.restoring(path, "state"):
            state.load_state_dict(contents["state"])
        looks = [before.looks for before in (scores.read(folder, one) for one in WEIGHTS) if before is not None]
        wants_average = weights == "average" or (weights == "best" and averages.is_in_front(contents["state"]))
        averaged = state.average.model if wants_average and state.average is not None else None
        means, each = _measured(prepared, state, test, averaged)
        found = TestScore(
            weights=weights,
            step=contents["state"]["progress"]["step"],
            images=len(test),
            looks=1 + max(looks, default=0),
            measured={f"test_{name}": value for name, value in means.items()},
            each=prepared.splits.each,
        )
        scores.write(folder, found, each)
        return found


def _finished(folder: Path, weights: str) -> tuple[Path, dict[str, Any]]:
    """The checkpoint with the weights that are measured, and its contents."""
    status = summary.read(folder).get("status", "not run")
    if status != "finished":
        got = f"a run that is not finished ({status})"
        raise wrong("evaluate", got=got, allowed="finished runs", do="finish it first, by resume=FOLDER")
    path = folder / WEIGHTS[weights]
    if path.name == checkpoint.LAST.name:
        path, contents = checkpoint.latest(str(folder), lambda _reason: None)
    else:
        contents = checkpoint.load(checkpoint.find(str(path)))
    checkpoint.require_form(path, contents)
    return path, contents


def has_average(contents: dict[str, Any]) -> bool:
    """Whether a checkpoint has averaged weights. A run that ended before its average began has none."""
    average = contents["state"].get("average")
    return average is not None and bool(average["gathered"] or average["latest"])


def _no_average() -> UserError:
    return wrong(
        "evaluate",
        got="a run that did not average its weights",
        allowed="runs with trainer.average",
        do="evaluate.weights=last, or train again with trainer.average=ema",
    )


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


def _measured(
    prepared: Prepared, state: TrainState, test: MapDataset, averaged: nn.Module | None
) -> tuple[Means, dict[str, NDArray[Any]]]:
    """The means over the test split, and what they are means of: a value (N,) of every metric for each image.

    The model measures, or else the `averaged` one. Both are empty where the loss is not finite.
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
        passing = evaluate(state, task, batches, averaged)
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
