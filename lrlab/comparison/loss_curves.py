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
_KNOWN = ("scheduler", "optimizer.lr", "trainer.epochs", "trainer.steps")
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
    plan, _ = planned(result)
    lrs = _used(result, plan)
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
    schedule = result.choice("scheduler") + (", extended" if result.summary.get("extended_from") else "")
    beside = _beside(plan)
    return TrainedCurves(result.name, schedule, lr, lrs[:updates], losses, missing, alike, beside)


def candidate(name: str, plan: Plan, lr: float) -> Untrained:
    """A planned run as a candidate, with what else is scheduled in it."""
    if plan.lrs is None:
        return Untrained(name, lr, None, refused="its LR follows a metric, and is not known before training")
    return Untrained(name, lr, np.array(plan.per_update()), _beside(plan))


def _beside(plan: Plan) -> dict[str, str]:
    """Hashes of what a plan schedules besides the LR: momentum, weight decay, and groups with ways of their own."""
    found = {}
    for name in ("momentum", "weight_decay"):
        curve = plan.curves.get(name, ())
        if curve and min(curve) != max(curve):
            found[name.replace("_", " ")] = plan.hashes[name]
    groups = [plan.hashes[name] for name in plan.curves if name.startswith("lr/")]
    if plan.lrs is not None and _own_ways(plan):
        found["groups"] = repr(groups)
    return found


def _own_ways(plan: Plan) -> bool:
    """Whether the LR of a group is not in proportion to the first one's."""
    first = np.array(plan.curves["lr"])
    for name, values in plan.curves.items():
        if name.startswith("lr/") and len(values) == len(first):
            other = np.array(values)
            if not np.allclose(other * first.max(), first * other.max(), rtol=1e-6, atol=1e-12 * first.max()):
                return True
    return False


def _used(result: Result, plan: Plan) -> Numbers:
    """The LR of every update: as planned where the run kept to that, else as it was recorded.

    An extended run began by another plan, and where a metric decided there was none.
    """
    kept_to_it = (result.summary.get("audit") or {}).get("equal") and not result.summary.get("extended_from")
    if plan.lrs is not None and kept_to_it:
        return np.array(plan.per_update())
    points = dict(event_files.scalar(result.folder, "lr"))
    if not points:
        raise wrong("run", got=f"{result.folder}, whose LRs are not recorded", allowed="a run with them", do=_a_run())
    steps = sorted(points)
    return np.interp(np.arange(result.history[-1].step), steps, [points[step] for step in steps])


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
    if not names:
        raise wrong("what", got="a table without rows", allowed="a row a step", do="record step, lr and loss")
    names.sort(key=lambda name: -sum(cells.number(row.get(name)) is not None for row in rows))  # the fullest first
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
    return TrainedCurves(name, name, float(lrs.max()), lrs, found, missing, settings=repr(lrs.tolist()))


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


def refuse_what_no_law_knows(overrides: Sequence[str], trained: Result) -> None:
    """Raise UserError for a setting, other than that of the run, whose effect a law of the LR cannot say."""
    for one in overrides:
        key = key_of(one)
        if str(trained.settings.get(key)) == one.partition("=")[2]:
            continue
        known = key.startswith(("scheduler.", "hydra.searchpath")) or key in _KNOWN
        if not known:
            raise wrong(
                key,
                got="a setting whose effect nothing predicts",
                allowed="scheduler.*, " + ", ".join(_KNOWN),
                do=f"train with it: {spelling.command('train')} {one}",
            )
