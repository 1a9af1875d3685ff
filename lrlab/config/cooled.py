"""The config of a cooldown: a run that is another one, its trunk, up to an update, and then lets the LR decay and ends.

Whatever the trunk says in shares of its own length, or in counts of its own clock, is said in updates here. So the two
runs are one until the decay begins, however long each of them is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lrlab.config import durations
from lrlab.config.identity import LENGTHS
from lrlab.config.prepare import Prepared
from lrlab.errors import UserError, wrong
from lrlab.lr.horizon import Horizon
from lrlab.words import counted

REST = "rest"  # as a decay: up to where the trunk ends
NAME = "cooldown"  # of the scheduler that it chose
_TARGET = "lrlab.lr.cooldown.Cooldown"


@dataclass(frozen=True)
class Decay:
    """When the LR decays, in updates of the run, and how."""

    at: int  # it begins after so many
    steps: int
    shape: str
    floor: float  # of the LR at `at`

    @property
    def total(self) -> int:
        return self.at + self.steps


def begins_at(written: str, trunk: Prepared) -> int:
    """The update of the trunk that a duration `at` means. Raises UserError where there is none, or its LR is zero."""
    horizon, interval = trunk.horizon, trunk.scheduler.own_interval
    counts = horizon.count(written, interval if written.isdecimal() else "step", "at")
    at = counts * _updates_in(interval, horizon) if written.isdecimal() else counts
    if not 0 < at <= horizon.steps:
        raise wrong(
            "at",
            got=f"{written}, which is update {at:,}",
            allowed=f"update 1 to {horizon.steps:,}, where the run that is cooled down ends: above 0, up to 100%",
            do="at=80%",
        )
    last = trunk.plan.at(at - 1)
    if last is None or last <= 0:
        got = f"{written}, where the LR of the run that is cooled down is 0 already"
        raise wrong("at", got=got, allowed="a moment before that", do="at=50%")
    return at


def decays_for(written: str, at: int, trunk: Prepared) -> int:
    """How many updates a duration `decay` means for a decay that begins `at` one; a share is one of the whole run.

    Raises UserError where there are none.
    """
    if written == REST:
        if at == trunk.horizon.steps:
            got = f"{REST}, with a decay that begins at the end of the run that is cooled down"
            raise wrong("decay", got=got, allowed="something that is left of it", do="decay=20%")
        return trunk.horizon.steps - at
    interval = trunk.scheduler.own_interval
    if written.isdecimal():
        steps = trunk.horizon.count(written, interval, "decay") * _updates_in(interval, trunk.horizon)
    else:
        steps = trunk.horizon.count(written, "step", "decay")  # says what is wrong with one that is none
    if written.endswith("%"):
        share = Fraction(written.removesuffix("%").replace("_", "")) / 100
        if share >= 1:
            allowed = "below 100%, a share of the whole run with its decay"
            raise wrong("decay", got=written, allowed=allowed, do="decay=20%")
        steps = int(at * share / (1 - share) + Fraction(1, 2))
    if steps < 1:
        allowed = f"at least one update, after {counted(at, 'update')}"
        raise wrong("decay", got=f"{written}, which is none", allowed=allowed, do="decay=20%")
    return steps


def _updates_in(interval: str, horizon: Horizon) -> int:
    return horizon.steps_per_epoch if interval == "epoch" else 1


def require_coolable(config: Mapping[str, Any]) -> None:
    """Raise UserError for the config of a run that nobody can cool down at an update that is known before."""
    trainer, groups = config["trainer"], config["optimizer"].get("groups")
    if trainer.get("budget") is not None:
        got = f"{trainer['budget']}, of the run that is cooled down, whose updates are not known"
        raise wrong("trainer.budget", got=got, allowed="trainer.epochs or trainer.steps", do="train one with them")
    for name, settings in groups.items() if isinstance(groups, Mapping) else ():
        if isinstance(settings, Mapping) and settings.get("schedule") is not None:
            raise wrong(
                f"optimizer.groups.{name}.schedule",
                got=f"{settings['schedule']}, of the run that is cooled down",
                allowed="groups that follow the scheduler, which is what is cooled down",
                do=f"train one without it; optimizer.groups.{name}.lr_scale is heeded",
            )


def require_known(trunk: Prepared) -> None:
    """Raise UserError where a metric decides the LR of the trunk, which another run would not have."""
    if trunk.plan.lrs is None:
        raise wrong(
            "scheduler",
            got=f"{trunk.checked.choices.get('scheduler', 'one')}, which follows a metric, of the run to cool down",
            allowed="a scheduler whose LR is known before",
            do="train one with scheduler=wsd, or another",
        )


def config_of(trunk: Prepared, decay: Decay) -> dict[str, Any]:
    """The config of the run that is `trunk` until the decay begins, and ends with it."""
    plain, horizon = trunk.config, trunk.horizon
    own = {key: value for key, value in plain["scheduler"].items() if key == "monitor"}
    scheduler = {
        "_target_": _TARGET,
        "_partial_": True,
        "interval": "step",
        **own,
        "at": decay.at,
        "steps": decay.steps,
        "shape": decay.shape,
        "floor": decay.floor,
        "every": _updates_in(trunk.scheduler.own_interval, horizon),
        "trunk": {**trunk.scheduler.resolved, "_partial_": True},
    }
    return {
        **plain,
        "resume": None,
        "extend": None,
        "scheduler": scheduler,
        "optimizer": _optimizer(trunk),
        "trainer": _trainer(trunk, decay.total),
    }


def _trainer(trunk: Prepared, updates: int) -> dict[str, Any]:
    """The `trainer` group for a run of so many updates, with the lengths of the trunk in updates."""
    trainer = dict(trunk.config["trainer"])
    trainer |= {key.removeprefix("trainer."): None for key in LENGTHS}
    epochs, rest = divmod(updates, trunk.horizon.steps_per_epoch)
    trainer |= {"steps": updates} if rest else {"epochs": epochs}

    average, early = trunk.average, trunk.early
    if average is not None:
        trainer |= {"average_start": f"{average.start}st", "average_every": f"{average.every}st"}
        trainer |= {} if average.window is None else {"average_window": f"{average.window}st"}
    if early is not None and early.patience_in_words.endswith("%"):
        stop, patience = trainer["stop_early"], f"{early.patience}st"
        trainer["stop_early"] = {**stop, "patience": patience} if isinstance(stop, dict) else patience
    return trainer


def _optimizer(trunk: Prepared) -> dict[str, Any]:
    """The `optimizer` group, whose schedules of momentum and weight decay stay those of the trunk."""
    optimizer, horizon, interval = trunk.config["optimizer"], trunk.horizon, trunk.scheduler.own_interval
    schedule, groups = optimizer.get("schedule"), optimizer.get("groups")
    found = dict(optimizer)
    if schedule:
        if interval == "epoch":
            raise _by_epochs(next(iter(schedule)))
        found["schedule"] = {}
        for name, entry in schedule.items():
            node = {"_target_": f"lrlab.schedules.{entry}"} if isinstance(entry, str) else entry
            whole = {"total": "100%", **node}
            found["schedule"][name] = durations.resolve(whole, horizon, interval, f"optimizer.schedule.{name}")
    if groups:
        found["groups"] = {name: _group(settings, horizon, interval) for name, settings in groups.items()}
    return found


def _group(settings: Any, horizon: Horizon, interval: str) -> Any:
    """The settings of a group, with its delay in updates."""
    if not isinstance(settings, Mapping) or not settings.get("delay"):
        return settings
    counts = horizon.count(str(settings["delay"]), interval, "delay")
    return {**settings, "delay": f"{counts * _updates_in(interval, horizon)}st"}


def _by_epochs(name: str) -> UserError:
    return wrong(
        f"optimizer.schedule.{name}",
        got="a schedule by epochs, of the run that is cooled down update by update",
        allowed="one by updates, which goes on as it was",
        do="train one with scheduler.interval=step",
    )
