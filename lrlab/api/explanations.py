"""Why the LR of a training loop is not the planned one: the mistakes that people make, each held against what was seen.

Every explanation says what the LR of update t would be if it were true. Those that fit every update seen are named.
Nothing here knows of optimizers: planned and applied LRs are arrays of float64, one value an update.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy
from numpy.typing import NDArray

Array = NDArray[numpy.float64]

_MOST_POINTS = 4000  # at which an explanation is tried
_MOST_FITS = 3  # that are named together
_FEWEST_LEVELS = 3  # different LRs that a mistake has to give, where it leads beyond the plan
_MOST_BATCHES = 64  # that one expects to make an update
_SAME_BASE = "give the optimizer and its scheduler the lr of the schedule"
_FACTORS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Observed:
    """What one parameter group was to have, and had.

    `planned` is the LR of update 0, 1, ... of the whole run, `applied` that of update `start` and those after it.
    `longer` gives the LR of each update in a run that is so many times as long, or None.
    """

    planned: Array
    applied: Array
    start: int
    tolerance: float
    updates_per_count: int = 1  # of the schedule's interval
    knows_epochs: bool = True  # False where the plan counts epochs, and was not told how many updates one has
    steps_per_epoch: int | None = None
    longer: Callable[[float], Callable[[int], float] | None] = lambda _: None
    processes: int = 1
    of_run: int | None = None  # updates, of which `planned` may have more; None: as many as it has
    others: tuple[tuple[str, Array], ...] = ()  # the plans of other groups, with their names
    base: float = 1.0  # LR that the scheduler found in the optimizer, as a share of the planned base LR

    @property
    def unit(self) -> str:
        """What the schedule's clock counts."""
        return "update" if self.updates_per_count == 1 else "epoch"

    def tolerance_at(self, base: float) -> float:
        """How far LRs may be from the planned ones at `base` times the base LR."""
        return self.tolerance * min(1.0, base)

    def at(self, updates: NDArray[numpy.int64], plan: Array | None = None) -> Array:
        """The planned LR of `updates`; before the first it is the first, after the last the last."""
        plan = self.planned if plan is None else plan
        return plan[numpy.clip(updates, 0, len(plan) - 1)]

    def within(self, updates: NDArray[numpy.int64]) -> Array:
        """The planned LR of `updates`; NaN past the run's end, where a scheduler stepped too often goes its own way."""
        last = len(self.planned) if self.of_run is None else self.of_run
        return numpy.where(updates < last, self.at(updates), numpy.nan)


@dataclass(frozen=True)
class Explanation:
    """A mistake that fits what was seen: what happened, and what to do."""

    name: str
    said: str
    do: str


def explain(seen: Observed) -> list[Explanation]:
    """The explanations that fit every LR seen, the simplest first; empty where none does."""
    points = _points(seen)
    updates = seen.start + points
    applied = seen.applied[points]
    if seen.base != 1 and _fits(seen.base * seen.at(updates), applied, seen.tolerance_at(seen.base)):
        return [_another_base(seen.base)]
    fitting: dict[str, Explanation] = {}
    for explanation, expected in _candidates(seen, points, updates):
        if _fits(expected, applied, seen.tolerance):
            fitting.setdefault(explanation.said, explanation)
    found = list(fitting.values())
    could_be_resumed = {"never stepped", "one ahead"} if seen.updates_per_count > 1 else {"never stepped"}
    if len(points) > 1 and {one.name for one in found} <= could_be_resumed:  # one LR may be that of many places
        found += _elsewhere(seen)  # an LR that stays may be that of a stretch where the plan stays
    return found or _of_another_base(seen, points, updates) or _at_another_base(seen)


def _fits(expected: Array, applied: Array, tolerance: float) -> bool:
    """Whether the LRs seen are the expected ones, as far as those are known, and these tell enough."""
    known = ~numpy.isnan(expected)
    if not numpy.all(numpy.abs(expected[known] - applied[known]) <= tolerance):
        return False
    return bool(known.all()) or len(numpy.unique(expected[known])) >= _FEWEST_LEVELS


def in_words(fitting: Sequence[Explanation], updates: int) -> str:
    """What the explanations of so many updates say together, for a sentence after the difference itself."""
    if not fitting:
        return "none of the usual mistakes fits the LRs seen so far"
    if len(fitting) == 1 and updates == 1:
        return f"one LR cannot tell why; it may be {fitting[0].said}"
    if len(fitting) == 1:
        return f"it is {fitting[0].said}; {fitting[0].do}"
    named = [one.said for one in fitting[:_MOST_FITS]]
    return f"the LRs seen cannot tell which it is: {', or '.join(named)}"


def shifts(seen: Observed) -> list[int]:
    """The updates of the plan at which what was seen could have begun, where the LRs seen tell it."""
    points = _points(seen)
    applied = seen.applied[points]
    starts = numpy.arange(len(seen.planned), dtype=numpy.int64)
    for point, lr in zip(points, applied, strict=True):
        if len(starts) == 0:
            break
        starts = starts[numpy.abs(seen.at(starts + point) - lr) <= seen.tolerance]
    return [int(one) for one in starts]


def _points(seen: Observed) -> NDArray[numpy.int64]:
    """Which of the updates seen are looked at: all, or the first, the last, and those around changes of the LR."""
    count = len(seen.applied)
    if count <= _MOST_POINTS:
        return numpy.arange(count, dtype=numpy.int64)
    changed = numpy.flatnonzero(numpy.diff(seen.applied)) + 1
    around = numpy.concatenate([changed - 1, changed])
    if len(around) > _MOST_POINTS // 2:
        around = around[:: len(around) // (_MOST_POINTS // 2) + 1]
    spread = numpy.linspace(0, count - 1, _MOST_POINTS // 4).astype(numpy.int64)
    first = numpy.arange(_MOST_POINTS // 4, dtype=numpy.int64)
    return numpy.unique(numpy.concatenate([first, spread, around, [count - 1]])).astype(numpy.int64)


Indices = NDArray[numpy.int64]
Candidates = Iterator[tuple[Explanation, Array]]  # a mistake, and the LRs that it would give


def _candidates(seen: Observed, points: Indices, updates: Indices) -> Candidates:
    """Every mistake that is known, with the LRs that it would give at `updates`, the simplest first."""
    yield from _a_step_off(seen, updates)
    yield from _on_another_clock(seen, updates)
    yield from _stopped_or_anew(seen, points, updates)
    yield from _by_another_plan(seen, points, updates)


def _a_step_off(seen: Observed, updates: Indices) -> Candidates:
    """The right clock, a step ahead or behind."""
    each, unit = seen.updates_per_count, seen.unit
    ahead = "call scheduler.step() after optimizer.step()"
    yield Explanation("one ahead", f"a scheduler that is one {unit} ahead", ahead), seen.at(updates + each)
    yield Explanation("one behind", f"a scheduler that is one {unit} behind", _steps(seen)), seen.at(updates - each)


def _steps(seen: Observed) -> str:
    """What a loop has to do."""
    return f"call scheduler.step() after every {'optimizer.step()' if seen.updates_per_count == 1 else 'epoch'}"


def _on_another_clock(seen: Observed, updates: Indices) -> Candidates:
    """Steps that are made too often, too rarely, or by the other interval."""
    each, unit, per_epoch = seen.updates_per_count, seen.unit, seen.steps_per_epoch
    for factor in dict.fromkeys([seen.processes, *_FACTORS, *_rates(seen, each)]):
        if factor > 1:
            yield _faster(seen, factor, unit), seen.within(each * factor * (updates // each))
    for batches in _micro_batches(seen):  # the last of which is before optimizer.step()
        said = f"a scheduler that is stepped {batches} times an update, after every micro-batch"
        do = "call scheduler.step() where optimizer.step() is called, after it"
        micro = Explanation(f"{batches} micro-batches", said, do)
        yield micro, seen.within(batches * updates + batches - 1)
    if each > 1:
        said = "a scheduler that is stepped after every update instead of after every epoch"
        yield Explanation("by updates", said, "call scheduler.step() once an epoch"), seen.within(each * updates)
    elif per_epoch:
        said = "a scheduler that is stepped after every epoch instead of after every update"
        do = "call scheduler.step() after every optimizer.step()"
        yield Explanation("by epochs", said, do), seen.at(updates // per_epoch)
    every = _rhythm(seen) // max(each, _first_change(seen.planned))
    if every > 1 and (each > 1 or every != per_epoch):
        said = f"a scheduler that is stepped once in {every} {unit}s"
        do = f"call scheduler.step() once {_a(unit)}"
        if not seen.knows_epochs:
            said = f"a plan that counts epochs, in a loop that steps its scheduler once in {every} updates"
            do = f"make the schedule with steps_per_epoch={every}, if that is an epoch"
        slower = Explanation(f"once in {every}", said, do)
        yield slower, seen.at(each * (updates // each // every))


def _stopped_or_anew(seen: Observed, points: Indices, updates: Indices) -> Candidates:
    """No steps at all, or a scheduler that lost its state at a restart."""
    if len(points) > 1 and numpy.ptp(seen.at(updates)) > seen.tolerance:
        never = Explanation("never stepped", "an LR that no scheduler has changed so far", _steps(seen))
        off = abs(seen.base * seen.at(updates[:1])[0] - seen.applied[0])
        if seen.base != 1 and off <= seen.tolerance_at(seen.base):
            never = _also_at(seen.base, never)
        yield never, numpy.full(len(points), seen.applied[0])
    if seen.start == 0:
        return
    again = "load its state_dict() when the loop goes on"
    lost = Explanation("from zero again", "a scheduler that began anew at update 0", again)
    anew = seen.at(points)
    yield lost, anew
    top = seen.at(numpy.array([seen.start]))[0]
    each = seen.updates_per_count
    still = updates // each == seen.start // each
    yield lost, numpy.where(still, top, anew)  # the optimizer's saved state had the right LR until the first step
    if seen.planned[0] > 0:
        yield lost, top * anew / seen.planned[0]  # torch's recursions go on from the LR that they find


def _by_another_plan(seen: Observed, points: Indices, updates: Indices) -> Candidates:
    """The plan of another group, or of a run of another length."""
    for name, plan in seen.others:
        said = f"the plan of group {name}"
        yield Explanation(said, said, "give each group its own schedule"), seen.at(updates, plan)
    is_flat = float(numpy.ptp(seen.applied[points])) == 0
    per_epoch = [seen.steps_per_epoch] if seen.steps_per_epoch else []
    for factor in dict.fromkeys([seen.processes, *_FACTORS, *per_epoch]):
        for times in (float(factor),) if is_flat else (float(factor), 1 / factor):
            lr_of = seen.longer(times) if factor > 1 else None
            if lr_of is not None and _begins_so(seen, points, updates, lr_of):
                yield _wrong_total(times), numpy.array([lr_of(int(update)) for update in updates])


def _begins_so(
    seen: Observed, points: NDArray[numpy.int64], updates: NDArray[numpy.int64], lr_of: Callable[[int], float]
) -> bool:
    """Whether a few of the LRs seen are those of `lr_of`, which takes longer to ask for than a table."""
    some = numpy.unique(numpy.linspace(0, len(points) - 1, 8).astype(numpy.int64))
    return all(abs(lr_of(int(updates[one])) - seen.applied[points[one]]) <= seen.tolerance for one in some)


def _of_another_base(seen: Observed, points: NDArray[numpy.int64], updates: NDArray[numpy.int64]) -> list[Explanation]:
    """That the LRs seen are the planned ones times one number."""
    planned, applied = seen.at(updates), seen.applied[points]
    place = int(numpy.argmax(planned))
    if planned[place] <= 0:
        return []
    ratio = applied[place] / planned[place]
    is_constant = numpy.ptp(seen.planned) <= seen.tolerance
    if not is_constant and (numpy.ptp(planned) <= seen.tolerance or _is_straight(updates, planned, seen.tolerance)):
        return []  # one number is some number times another, and so is one warm-up
    if not numpy.all(numpy.abs(ratio * planned - applied) <= seen.tolerance_at(ratio)):
        return []
    return [_another_base(ratio)]


def _another_base(ratio: float) -> Explanation:
    said = f"{ratio:.4g} times the planned LR at every update"
    return Explanation("another base LR", said, _SAME_BASE)


def _at_another_base(seen: Observed) -> list[Explanation]:
    """That the scheduler began from another base LR, and something else is wrong too."""
    if seen.base in (0, 1):
        return []
    at_planned = replace(seen, applied=seen.applied / seen.base, base=1.0)
    return [_also_at(seen.base, one) for one in explain(at_planned)]


def _also_at(base: float, one: Explanation) -> Explanation:
    said = f"{one.said}, at {base:.4g} times the planned base LR"
    return Explanation(one.name, said, f"{one.do}, and {_SAME_BASE}")


def _faster(seen: Observed, factor: int, unit: str) -> Explanation:
    if factor == seen.processes:
        said = f"a scheduler that is stepped {factor} times {_a(unit)}, once for each of the {factor} processes"
        do = f"give the scheduler {factor} times the updates, as Accelerate expects, or step it once {_a(unit)}"
        return Explanation(f"{factor} times as fast", said, do)
    name = "twice" if factor == 2 else f"{factor} times"
    said = f"a scheduler that goes {name} as fast as planned"
    return Explanation(f"{name} as fast", said, f"call scheduler.step() once {_a(unit)}")


def _a(unit: str) -> str:
    return "an update" if unit == "update" else "an epoch"


def _wrong_total(times: float) -> Explanation:
    how = f"{times:g} times as long" if times > 1 else f"1/{1 / times:g} as long"
    said = f"the plan of a run that is {how}"
    return Explanation("another total", said, "give the scheduler the number of updates that the loop makes")


def _rhythm(seen: Observed) -> int:
    """After how many updates the LR first changed; 0 where it did not."""
    changed = numpy.flatnonzero(numpy.abs(numpy.diff(seen.applied)) > 0)
    return int(changed[0]) + 1 + seen.start if len(changed) else 0


def _is_straight(updates: NDArray[numpy.int64], values: Array, tolerance: float) -> bool:
    """Whether the values lie on a line, as those of a warm-up do."""
    if len(values) < 3:
        return True
    slope = (values[-1] - values[0]) / (updates[-1] - updates[0])
    line = values[0] + slope * (updates - updates[0])
    return bool(numpy.all(numpy.abs(line - values) <= tolerance))


def _rates(seen: Observed, each: int) -> list[int]:
    """How many times as fast the scheduler may go, by the first LR after the first change."""
    if seen.start or len(seen.applied) <= each:
        return []
    counts = seen.planned[::each]
    found = numpy.flatnonzero(numpy.abs(counts - seen.applied[each]) <= seen.tolerance)
    return [int(one) for one in found[:3]]


def _first_change(lrs: Array) -> int:
    """After how many updates the LRs first change; 0 where they do not."""
    changed = numpy.flatnonzero(numpy.diff(lrs))
    return int(changed[0]) + 1 if len(changed) else 0


def _micro_batches(seen: Observed) -> list[int]:
    """How many batches may make an update where each steps the scheduler, by the first LR."""
    if seen.start or seen.updates_per_count > 1:
        return []
    found = numpy.flatnonzero(numpy.abs(seen.planned[:_MOST_BATCHES] - seen.applied[0]) <= seen.tolerance) + 1
    return [int(one) for one in found if one > 1]


def _elsewhere(seen: Observed) -> list[Explanation]:
    """That the LRs seen are those of another place in the plan."""
    starts = [start for start in shifts(seen) if start != seen.start]
    if not starts:
        return []
    where = f"update {starts[0]}" if len(starts) == 1 else f"an update between {starts[0]} and {starts[-1]}"
    said = f"the plan from {where} on (did the loop begin there? then say start=...)"
    if len(starts) == 1:
        said = said.replace("...", str(starts[0]))
    return [Explanation("elsewhere", said, "if it did not, look at what the scheduler was built with")]
