"""The loss curves of trained runs, and the LRs that led to them: what a law is fitted to.

They come from a run's folder, where every recorded update's loss is in TensorBoard's file and every validation in
history.csv, or from a table with a row a step.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from lrlab.comparison import cells, event_files, results
from lrlab.comparison.results import Result
from lrlab.config.again import planned_instead
from lrlab.config.arguments import key_of
from lrlab.errors import wrong
from lrlab.forecast.fit import LossCurve, TooLittle
from lrlab.forecast.laws import Numbers
from lrlab.forecast.predictions import SPLITS, TrainedCurves, Untrained
from lrlab.lr.plan import Plan
from lrlab.system import spelling

_FEWEST_RECORDED = 60  # points of the training loss; of fewer the epochs' means say more
_STEPS = ("step", "global_step", "iteration", "update", "_step", "steps")
_LRS = ("lr", "learning_rate", "lr/0", "train/learning_rate", "learning-rate")
_LOSSES = {
    "train": ("train_loss", "train/loss", "loss", "training_loss"),
    "val": ("val_loss", "val/loss", "eval_loss", "eval/loss", "validation_loss", "valid_loss"),
}
_RUNS = ("run", "name", "run_id", "run_name")


def planned(result: Result, overrides: Sequence[str] = ()) -> tuple[Plan, float]:
    """The plan of a run with `overrides` on top of its config, and its base LR.

    Raises UserError for a run that left too little, and where its file asks for what only a user may vouch for.
    """
    saved = results.config_of(result.folder)
    per_epoch = _steps_per_epoch(result)
    if saved is None or per_epoch is None or result.settings.get("trainer.budget") is not None:
        got = f"{result.folder}, of a run whose updates are not known"
        raise wrong("run", got=got, allowed="a run that lrlab trained, without trainer.budget", do=_a_run())
    return planned_instead(saved, overrides, per_epoch, result.folder / "config.yaml")


def _steps_per_epoch(result: Result) -> int | None:
    """As planned; of a run that planned no LR, as its first epoch had."""
    said = (result.summary.get("plan") or {}).get("steps_per_epoch")
    return said or next((row.step for row in result.history[:1]), None)


def of_run(result: Result) -> TrainedCurves:
    """What a trained run shows. Raises UserError for one that diverged or left no losses."""
    if result.status == "diverged":
        got = f"{result.folder}, which diverged"
        raise wrong("run", got=got, allowed="a run whose loss stayed finite", do="train one at a smaller LR")
    if not result.history:
        raise wrong("run", got=f"{result.folder}, without a whole epoch", allowed="a trained run", do=_a_run())
    lrs = _used(result)
    updates = min(len(lrs), result.history[-1].step)
    losses, missing = {}, {}
    for split in SPLITS:
        try:
            at, values = _training(result) if split == "train" else _validated(result)
            inside = at <= updates
            losses[split] = LossCurve.of(lrs[:updates], at[inside], values[inside])
        except TooLittle as reason:
            missing[split] = str(reason)
    settings = {key: value for key, value in result.settings.items() if key != "seed"}
    lr = float(result.settings.get("optimizer.lr") or lrs.max())
    alike = repr(sorted(settings.items()))
    return TrainedCurves(result.name, result.choice("scheduler"), lr, lrs[:updates], losses, missing, alike)


def candidate(name: str, plan: Plan, lr: float) -> Untrained:
    """A planned run as a candidate, with what else changes in it."""
    values = plan.per_update()
    if plan.lrs is None:
        return Untrained(name, lr, None, refused="its LR follows a metric, and is not known before training")
    doubts = []
    for other in ("momentum", "weight_decay"):
        curve = plan.curves.get(other, ())
        if curve and min(curve) != max(curve):
            doubts.append(f"its {other.replace('_', ' ')} changes too")
    if any(plan.hashes[one] != plan.hashes["lr"] for one in plan.curves if one.startswith("lr/")) and _own_ways(plan):
        doubts.append("its groups follow schedules of their own")
    return Untrained(name, lr, np.array(values), doubts)


def _own_ways(plan: Plan) -> bool:
    """Whether the LR of a group is not in proportion to the first one's."""
    first = np.array(plan.curves["lr"])
    for name, values in plan.curves.items():
        if name.startswith("lr/") and len(values) == len(first):
            other = np.array(values)
            if not np.allclose(other * first.max(), first * other.max(), rtol=1e-6, atol=1e-12 * first.max()):
                return True
    return False


def _used(result: Result) -> Numbers:
    """The LR of every update: as planned, or as recorded where a metric decided it."""
    plan, _ = planned(result)
    if plan.lrs is not None:
        return np.array(plan.per_update())
    points = event_files.scalar(result.folder, "lr")
    if not points:
        raise wrong("run", got=f"{result.folder}, whose LRs are not recorded", allowed="a run with them", do=_a_run())
    steps, values = np.array([step for step, _ in points]), np.array([value for _, value in points])
    at = np.arange(result.history[-1].step)
    return values[np.maximum(np.searchsorted(steps, at, side="right") - 1, 0)]


def _training(result: Result) -> tuple[np.ndarray, Numbers]:
    """The training loss of every recorded update; of few of them, the means of epochs."""
    points = event_files.scalar(result.folder, "train/loss")
    if len(points) >= _FEWEST_RECORDED:
        latest = dict(points)  # what a resumed run repeats counts once
        at = np.array(sorted(latest))
        return at + 1, np.array([latest[step] for step in at])
    return _history(result, "train_loss", middle=True)


def _validated(result: Result) -> tuple[np.ndarray, Numbers]:
    return _history(result, "val_loss", middle=False)


def _history(result: Result, name: str, *, middle: bool) -> tuple[np.ndarray, Numbers]:
    at, values, before = [], [], 0
    for row in result.history:
        value = row.measured.get(name)
        if value is not None:
            at.append(max(1, (before + row.step) // 2) if middle else row.step)
            values.append(value)
        before = row.step
    if not at:
        raise TooLittle("it was not measured")
    return np.array(at), np.array(values)


def _a_run() -> str:
    return f"{spelling.command('predict')} outputs/runs/NAME scheduler=all"


def of_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str | None]) -> list[TrainedCurves]:
    """The runs of a table with a row a step: columns `step`, `lr`, a loss, and `run` where there are several.

    The first step may be 0 or 1. Where a cell is empty nothing was measured. Raises UserError for a column that is not
    there, and for steps without an LR.
    """
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    step = _column("step", columns, names, _STEPS)
    lr = _column("learning_rate", columns, names, _LRS)
    run = _column("run", columns, names, _RUNS, needed=False)
    losses = {split: _column(split, columns, names, _LOSSES[split], needed=False) for split in SPLITS}
    if not any(losses.values()):
        do = 'train="COLUMN" or val="COLUMN"'
        raise wrong(
            "loss", got=f"columns {', '.join(names)}", allowed="one with the training or validation loss", do=do
        )
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(str(row[run]) if run else "trained", []).append(row)
    return [_of_rows(name, own, step, lr, losses) for name, own in grouped.items()]


def _column(
    what: str, asked: Mapping[str, str | None], names: Sequence[str], usual: Sequence[str], *, needed: bool = True
) -> Any:
    """The name of a column: the one that was said, or one of the usual ones."""
    said = asked.get(what)
    if said is not None and said not in names:
        raise wrong(what, got=f'"{said}"', allowed=", ".join(names), do=f'{what}="{names[0]}"')
    found = said or next((name for name in usual if name in names), None)
    if found is None and needed:
        do = f'{what}="COLUMN"'
        raise wrong(what, got=f"columns {', '.join(names)}", allowed=f"one of {', '.join(usual)}", do=do)
    return found


def _of_rows(
    name: str, rows: Sequence[Mapping[str, Any]], step: str, lr: str, losses: Mapping[str, str | None]
) -> TrainedCurves:
    numbers = {column: _numbers(rows, step, column) for column in [lr, *filter(None, losses.values())]}
    first = min((at[0] for at, _ in numbers.values() if len(at)), default=1)
    shift = 1 - first if first in (0, 1) else 0
    at, values = numbers[lr]
    if not len(at):
        raise wrong("learning_rate", got=f"no LR in {name}", allowed="an LR at some steps", do="record it")
    last = max(int(points[-1]) + shift for points, _ in numbers.values() if len(points))
    lrs = np.interp(np.arange(1, last + 1), at + shift, values)
    found, missing = {}, {}
    for split, column in losses.items():
        try:
            if column is None or not len(numbers[column][0]):
                raise TooLittle("it was not measured")
            found[split] = LossCurve.of(lrs, numbers[column][0] + shift, numbers[column][1])
        except TooLittle as reason:
            missing[split] = str(reason)
    return TrainedCurves(name, name, float(lrs.max()), lrs, found, missing, settings=repr(lrs.tolist()))


def _numbers(rows: Sequence[Mapping[str, Any]], step: str, column: str) -> tuple[np.ndarray, Numbers]:
    """The steps at which a column holds a number, ascending, and these numbers; of one step the last."""
    found: dict[int, float] = {}
    for row in rows:
        at, value = cells.number(row.get(step)), cells.number(row.get(column))
        if at is not None and value is not None:
            found[int(at)] = value
    order = sorted(found)
    return np.array(order, dtype=np.int64), np.array([found[one] for one in order])


def refuse_what_no_law_knows(overrides: Sequence[str]) -> None:
    """Raise UserError for a setting whose effect on the loss a law of the LR cannot say."""
    for one in overrides:
        key = key_of(one)
        known = key == "scheduler" or key.startswith("scheduler.") or key in ("optimizer.lr", "trainer.epochs")
        if not known:
            raise wrong(
                key,
                got="a setting whose effect nothing predicts",
                allowed="scheduler, scheduler.*, optimizer.lr, trainer.epochs",
                do=f"train with it: {spelling.command('train')} {one}",
            )
