"""Loss curves of any training loop, from a table with a row a step: what a law is fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from lrlab.comparison import cells
from lrlab.errors import wrong
from lrlab.forecast.bound import Numbers
from lrlab.forecast.fit import LossCurve, TooLittle, early_rise
from lrlab.forecast.predictions import SPLITS, TrainedCurves

_STEPS = ("step", "global_step", "iteration", "update", "_step", "steps")
_LRS = ("lr", "learning_rate", "lr/0", "train/learning_rate", "learning-rate")
_LOSSES = {
    "train": ("train_loss", "train/loss", "loss", "training_loss"),
    "val": ("val_loss", "val/loss", "eval_loss", "eval/loss", "validation_loss", "valid_loss"),
}
_NORMS = ("grad_norm", "train/grad_norm", "gradient_norm", "grad_norm_total")
_RUNS = ("run", "name", "run_id", "run_name")


def of_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str | None]) -> list[TrainedCurves]:
    """The runs of a table with a row a step: columns `step`, `lr`, a loss, and `run` where there are several.

    The first step may be 0 or 1. Where a cell is empty nothing was measured. Raises UserError for a column that is not
    there, and for steps without an LR.
    """
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    if not names:
        raise wrong("what", got="a table without rows", allowed="a row a step", do="record step, lr and loss")
    names.sort(key=lambda name: -sum(cells.number(row.get(name)) is not None for row in rows))  # the fullest first
    step = _column("step", columns, names, _STEPS)
    lr = _column("learning_rate", columns, names, _LRS)
    run = _column("run", columns, names, _RUNS, needed=False)
    norm = _column("grad_norm", columns, names, _NORMS, needed=False)
    losses = {split: _column(split, columns, names, _LOSSES[split], needed=False) for split in SPLITS}
    if not any(losses.values()):
        do = 'train="COLUMN" or val="COLUMN"'
        raise wrong(
            "loss", got=f"columns {', '.join(names)}", allowed="one with the training or validation loss", do=do
        )
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(str(row[run]) if run else "trained", []).append(row)
    found = [_of_rows(name, own, step, lr, losses) for name, own in grouped.items()]
    if norm is None:
        return found
    norms = [_norms(own, step, norm, len(one.lrs)) for own, one in zip(grouped.values(), found, strict=True)]
    return [replace(one, gradient_norms=values) for one, values in zip(found, norms, strict=True)]


def _column(
    what: str, asked: Mapping[str, str | None], names: Sequence[str], usual: Sequence[str], *, needed: bool = True
) -> Any:
    """The name of a column: the one that was said, or one of the usual ones."""
    said = asked.get(what)
    if said is not None and said not in names:
        raise wrong(what, got=f'"{said}"', allowed=", ".join(names), do=f'{what}="{names[0]}"')
    found = said or next((name for name in names if name in usual), None)
    if found is None and needed:
        do = f'{what}="COLUMN"'
        raise wrong(what, got=f"columns {', '.join(names)}", allowed=f"one of {', '.join(usual)}", do=do)
    return found


def _of_rows(
    name: str, rows: Sequence[Mapping[str, Any]], step: str, lr: str, losses: Mapping[str, str | None]
) -> TrainedCurves:
    numbers = {column: _numbers(rows, step, column) for column in [lr, *filter(None, losses.values())]}
    at, values = numbers[lr]
    if not len(at):
        raise wrong("learning_rate", got=f"no LR in {name}", allowed="an LR at some steps", do="record it")
    first = min(points[0] for points, _ in numbers.values() if len(points))
    shift = 1 if first == 0 else 0
    if first > 2 * np.median(np.diff(at, prepend=0)):
        got = f"{name}, whose steps begin with {first:,}"
        raise wrong("step", got=got, allowed="all of a run, from its beginning on", do="count from 0 or 1")
    last = max(int(points[-1]) + shift for points, _ in numbers.values() if len(points))
    lrs = np.interp(np.arange(1, last + 1), at + shift, values)
    found, missing = {}, {}
    for split, column in losses.items():
        try:
            if column is None or not len(numbers[column][0]):
                raise TooLittle("it was not measured")
            if any(cells.is_infinite(row.get(column)) for row in rows):
                raise TooLittle("it is not finite: the run diverged")
            found[split] = LossCurve.of(lrs, numbers[column][0] + shift, numbers[column][1])
        except TooLittle as reason:
            missing[split] = str(reason)
    rise = early_rise(found["train"]) if "train" in found else 1.0
    return TrainedCurves(name, name, float(lrs.max()), lrs, found, missing, settings=repr(lrs.tolist()), rise=rise)


def _norms(rows: Sequence[Mapping[str, Any]], step: str, column: str, updates: int) -> Numbers | None:
    """The gradient norm of every update, between those that were recorded on straight lines; None where none was."""
    at, values = _numbers(rows, step, column)
    return np.interp(np.arange(updates), at - min(at), values) if len(at) else None


def _numbers(rows: Sequence[Mapping[str, Any]], step: str, column: str) -> tuple[np.ndarray, Numbers]:
    """The steps at which a column holds a number, ascending, and these numbers; of one step the last."""
    found: dict[int, float] = {}
    for row in rows:
        at, value = cells.number(row.get(step)), cells.number(row.get(column))
        if at is not None and at != int(at):
            do = "give the column that counts updates"
            raise wrong("step", got=f"{at:g} in {step}", allowed="whole numbers of updates", do=do)
        if at is not None and value is not None and found.setdefault(int(at), value) != value:
            got = f"several rows with {step} {at:g}, of which {column} is {found[int(at)]:g} and {value:g}"
            raise wrong("run", got=got, allowed="a row a step of each run", do='run="COLUMN", which tells runs apart')
    order = sorted(found)
    return np.array(order, dtype=np.int64), np.array([found[one] for one in order])
