"""How long a run is: `trainer.epochs`, `trainer.steps` or `trainer.budget`, of which a run has one."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lrlab.config import checks
from lrlab.config.arguments import key_of
from lrlab.config.identity import LENGTHS
from lrlab.config.seconds import seconds_of
from lrlab.data.batches import Batching, batches_per_epoch
from lrlab.errors import UserError, wrong
from lrlab.lr import horizon
from lrlab.lr.horizon import Horizon, Samples, is_duration
from lrlab.words import counted

_WAYS = tuple(key.removeprefix("trainer.") for key in LENGTHS)
MOST_EPOCHS = 10_000_000  # the plan of more would take minutes and memory


def with_one_length(config: dict[str, Any], typed: Iterable[str]) -> dict[str, Any]:
    """`config` in which the length of the run is said in one way, and the others are null.

    What was `typed` goes before what a YAML says, and `trainer.epochs`, which always has a default, goes last.
    Raises UserError where two ways were typed.
    """
    trainer = config["trainer"]
    given = [way for way in _WAYS if trainer.get(way) is not None]
    asked = {key_of(override) for override in typed}
    by_hand = [way for way in given if f"trainer.{way}" in asked]
    if len(by_hand) > 1:
        one, other = by_hand[:2]
        raise wrong(
            f"trainer.{other}",
            got=f"{trainer[other]}, beside trainer.{one}={trainer[one]}",
            allowed="one length of the run",
            do=f"leave trainer.{one} out",
        )
    if len(given) < 2:
        return config
    kept = (by_hand or given[-1:])[0]
    return {**config, "trainer": {**trainer, **{way: None for way in given if way != kept}}}


def check(trainer: Mapping[str, Any]) -> None:
    """Raise UserError where the length in a `trainer` group is none."""
    epochs, steps, budget = (trainer.get(way) for way in _WAYS)
    if budget is not None:
        seconds_of(budget)
    if epochs is not None or (steps is None and budget is None):
        checks.number("trainer.epochs", epochs, above=0, example=10)
        if epochs is not None and epochs > MOST_EPOCHS:
            got, allowed = f"{epochs:,}", f"a number up to {MOST_EPOCHS:,}"
            raise wrong("trainer.epochs", got=got, allowed=allowed, do="trainer.epochs=10")
    is_count = isinstance(steps, int) and not isinstance(steps, bool) and steps >= 1
    if steps is not None and not is_count and not _is_with_unit(steps):
        allowed = "updates, an integer >= 1, or with a unit: 1000st, 2.5ep, 500_000im"
        raise wrong("trainer.steps", got=repr(steps), allowed=allowed, do="trainer.steps=1000")


def _is_with_unit(steps: Any) -> bool:
    """Whether a length in `trainer.steps` says its unit, which is not a share of itself."""
    return isinstance(steps, str) and is_duration(steps) and steps.endswith(("ep", "st", "im"))


def horizon_of(trainer: Mapping[str, Any], steps_per_epoch: int, samples: Samples | None = None) -> Horizon:
    """The horizon that a checked `trainer` group means. Raises UserError where it has no whole update, or too many."""
    if (budget := trainer.get("budget")) is not None:
        return Horizon(MOST_EPOCHS, steps_per_epoch, samples=samples, budget_seconds=seconds_of(budget))
    if (steps := trainer.get("steps")) is not None:
        updates = steps
        if isinstance(steps, str):
            updates = Horizon(1, steps_per_epoch, samples=samples).count(steps, "step", "trainer.steps")
        found = horizon.of_updates(updates, steps_per_epoch, samples)
    else:
        found = horizon.of_epochs(trainer["epochs"], steps_per_epoch, samples)
    if not found.epochs:
        got = f"{trainer['epochs']}, which is less than half an update"
        allowed = f"at least one update, of which an epoch has {steps_per_epoch:,}"
        raise wrong("trainer.epochs", got=got, allowed=allowed, do="trainer.epochs=1")
    if found.epochs > MOST_EPOCHS:
        way = "epochs" if trainer.get("steps") is None else "steps"
        got = f"{trainer[way]}, which is {found.steps:,} updates"
        allowed = f"at most {MOST_EPOCHS:,} epochs of {counted(steps_per_epoch, 'update')}"
        raise wrong(f"trainer.{way}", got=got, allowed=allowed, do=f"trainer.{way}={10 if way == 'epochs' else 1000}")
    return found


def said(trainer: Mapping[str, Any]) -> str:
    """The length of a run as it is set.

    >>> said({"epochs": None, "steps": "2.5ep", "budget": None})
    'trainer.steps=2.5ep'
    """
    return next(f"trainer.{way}={trainer[way]}" for way in (*_WAYS[::-1],) if trainer.get(way) is not None)


def extended_to(extend: str) -> list[str]:
    """The overrides that make the length of a run what `extend` says: `40` or `2.5` epochs, or `5000st`, `50_000im`.

    >>> extended_to("40"), extended_to("5000st")
    (['trainer.epochs=40', 'trainer.steps=null'], ['trainer.steps=5000st', 'trainer.epochs=null'])
    """
    if _is_with_unit(extend):
        return [f"trainer.steps={extend}", "trainer.epochs=null"]
    return [f"trainer.epochs={extend}", "trainer.steps=null"]


def check_extend(extend: Any, trainer: Mapping[str, Any]) -> None:
    """Raise UserError where `extend` is no length, or the run has a time budget."""
    if trainer.get("budget") is not None:
        raise no_longer_budget(extend)
    is_number = isinstance(extend, int | float) and not isinstance(extend, bool) and 0 < extend < math.inf
    if not is_number and not _is_with_unit(extend):
        allowed = "epochs in all, a number > 0, or with a unit: 5000st, 500_000im"
        raise wrong("extend", got=repr(extend), allowed=allowed, do="extend=40, or 5000st")


def no_longer_budget(extend: Any) -> UserError:
    """The error of who wants to extend a run with a time budget."""
    allowed = "null, for a run with trainer.budget"
    return wrong("extend", got=extend, allowed=allowed, do="start a new run with a longer trainer.budget")


def check_replay(config: Mapping[str, Any]) -> None:
    """Raise UserError where a run is to repeat another one, and has no time budget in which to do that."""
    repeated = config.get("replay")
    if repeated is None:
        return
    if not isinstance(repeated, str) or config["trainer"].get("budget") is None:
        got = f"{repeated}, whose run has no time budget"
        allowed = "a finished run with trainer.budget; others repeat themselves, by the same command"
        raise wrong("replay", got=got, allowed=allowed, do="replay=outputs/runs/NAME")


def instead_of_others(typed: Sequence[str]) -> list[str]:
    """The overrides that take back the other ways to say a length, where one is `typed` for a run that has another."""
    asked = [key_of(override) for override in typed]
    return [f"{key}=null" for key in LENGTHS if key not in asked] if set(LENGTHS) & set(asked) else []


def samples_of(count: int, batching: Batching) -> Samples:
    """How many of `count` training samples an epoch sees, and an update of a whole batch."""
    batches = batches_per_epoch(count, batching, train=True)
    return Samples(min(count, batches * batching.batch_size), batching.batch_size)
