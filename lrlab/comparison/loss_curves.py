"""The loss curve of a trained run, from its folder, and the LRs that led to it: what a law is fitted to.

The loss of every recorded update is in TensorBoard's file, and every validation in history.csv.
"""

from collections.abc import Sequence

import numpy as np

from lrlab.comparison import event_files, results
from lrlab.comparison.results import Result
from lrlab.config.again import planned_instead
from lrlab.config.arguments import key_of
from lrlab.errors import closest, wrong
from lrlab.forecast.fit import LossCurve, TooLittle, early_rise
from lrlab.forecast.laws import Numbers
from lrlab.forecast.predictions import SPLITS, TrainedCurves, Untrained
from lrlab.lr.plan import Plan
from lrlab.system import spelling

_FEWEST_RECORDED = 60  # points of the training loss; of fewer the epochs' means say more
_KNOWN = ("scheduler", "optimizer.lr", "trainer.epochs", "trainer.steps")


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


def of_run(result: Result, plan: Plan | None = None) -> TrainedCurves:
    """What a trained run shows. Its `plan` is composed from its config where it is not known.

    Raises UserError for a run that diverged or left no losses.
    """
    if result.status == "diverged":
        got = f"{result.folder}, which diverged"
        raise wrong("run", got=got, allowed="a run whose loss stayed finite", do="train one at a smaller LR")
    if not result.history:
        raise wrong("run", got=f"{result.folder}, without a whole epoch", allowed="a trained run", do=_a_run())
    plan = plan or planned(result)[0]
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
    rise = early_rise(losses["train"]) if "train" in losses else 1.0
    return TrainedCurves(result.name, schedule, lr, lrs[:updates], losses, missing, alike, beside, rise)


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


def refuse_what_no_law_knows(overrides: Sequence[str], trained: Result) -> None:
    """Raise UserError for a setting, other than that of the run, whose effect a law of the LR cannot say."""
    for one in overrides:
        key = key_of(one)
        if str(trained.settings.get(key)) == one.partition("=")[2]:
            continue
        known = key.startswith(("scheduler.", "hydra.searchpath")) or key in _KNOWN
        if not known:
            guess = None if key in trained.settings else closest(key, _KNOWN)
            value = one.partition("=")[2]
            raise wrong(
                key,
                got=f"a setting whose effect nothing predicts{f' (did you mean {guess}?)' if guess else ''}",
                allowed="scheduler.*, " + ", ".join(_KNOWN),
                do=f"{guess}={value}" if guess else f"train with it: {spelling.command('train')} {one}",
            )
