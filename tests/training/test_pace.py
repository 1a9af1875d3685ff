"""A time budget moves the scheduler and ends the training, by a clock that the test turns."""

from dataclasses import dataclass, field
from functools import partial

import pytest
from small_training import STEPS, batches, epochs, make_state, updates
from support import same_weights
from torch.optim import lr_scheduler

from lrlab.lr.horizon import POSITIONS
from lrlab.lr.shares import LAST
from lrlab.training.loop import Update, fit
from lrlab.training.pace import Pace
from lrlab.training.state import TrainState
from lrlab.training.validation import Evaluating

COSINE = partial(lr_scheduler.CosineAnnealingLR, T_max=POSITIONS)
UPDATE_SECONDS, BATCH_SECONDS, SAVE_SECONDS = 1.0, 0.25, 0.5  # of an update, a batch of validation, a checkpoint


@dataclass
class Clock:
    """Goes on by what each event is said to take; `slower` from a moment on, as beside other work."""

    now: float = 100.0
    slower_from: float = float("inf")
    log: list[tuple[float, int]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds * (2 if self.now - 100 >= self.slower_from else 1)


def make(seconds: float, clock: Clock) -> TrainState:
    state = make_state(COSINE)
    state.pace = Pace(seconds, clock)
    return state


def trained(state: TrainState, clock: Clock, *, until: int | None = None, **settings) -> list:
    """The events of a training whose every event takes its time, up to an update where that is given."""
    events = []
    clock.spend(0)
    loop = fit(state, batches(), batches(train=False, count=20), epochs=10_000, **settings)
    for event in loop:
        events.append(event)
        if isinstance(event, Update):
            clock.spend(UPDATE_SECONDS)
        elif isinstance(event, Evaluating):
            clock.spend(BATCH_SECONDS)
        else:
            clock.spend(SAVE_SECONDS)
        if until is not None and isinstance(event, Update) and event.step == until:
            break
    return events


@pytest.mark.parametrize("slower_from", [float("inf"), 30.0], ids=["alone", "other work from half time on"])
@pytest.mark.parametrize("seconds", [20.0, 60.0, 61.3, 300.0])
def test_the_run_ends_within_its_budget_validated_with_its_lr_at_the_end_of_the_plan(seconds, slower_from):
    clock = Clock(slower_from=slower_from)
    state = make(seconds, clock)
    events = trained(state, clock)
    used = clock.now - 100
    slowest = 2 if used > slower_from else 1
    last = epochs(events)[-1]
    assert seconds - slowest * (2 * UPDATE_SECONDS) < used <= seconds
    assert last.val is not None
    assert state.pace is not None
    assert state.pace.is_over
    assert updates(events)[-1].position == LAST
    positions = [event.position for event in updates(events)]
    assert positions == sorted(positions)
    assert [event.step for event in updates(events)] == list(range(len(positions)))


def test_the_lr_is_that_of_the_position_of_every_update():
    clock = Clock()
    events = trained(make(60.0, clock), clock)
    scheduler = COSINE(make_state(COSINE).optimizer)
    planned = []
    for _ in range(POSITIONS):
        planned.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    assert [event.applied["lr"] for event in updates(events)] == [planned[event.position] for event in updates(events)]


def test_a_validation_for_which_there_is_no_time_is_left_out_and_the_last_is_made():
    clock = Clock()
    events = epochs(trained(make(60.0, clock), clock))
    validated = [one.val is not None for one in events]
    assert validated[-1]
    assert all(validated[:-2])
    assert len(events) > 5


def test_the_clock_stands_still_while_a_run_is_stopped_and_the_rest_of_the_budget_is_used():
    clock = Clock()
    stopped = make(60.0, clock)
    first = trained(stopped, clock, until=22)
    saved = stopped.state_dict()
    assert stopped.pace is not None
    used = stopped.pace.used
    clock.now += 86_400  # a day later
    resumed = make(60.0, clock)
    resumed.load_state_dict(saved)
    assert resumed.pace is not None
    assert resumed.pace.used == pytest.approx(used)
    began = clock.now
    rest = trained(resumed, clock)
    assert 60.0 - 2 * UPDATE_SECONDS < used + clock.now - began <= 60.0 + 1e-9
    assert [event.step for event in updates([*first, *rest])] == list(range(len(updates([*first, *rest]))))
    assert updates(rest)[-1].position == LAST


@pytest.mark.parametrize("at", ["the last update", "the end"])
def test_a_run_that_is_stopped_at_its_end_makes_no_other_update(at):
    clock = Clock()
    state = make(20.0, clock)
    for event in fit(state, batches(), batches(train=False, count=20), epochs=10_000):
        clock.spend(UPDATE_SECONDS)
        if at == "the last update" and getattr(event, "position", None) == LAST:
            break
    again = make(20.0, clock)
    again.load_state_dict(state.state_dict())
    events = trained(again, clock)
    assert not updates(events)
    assert [one.val is not None for one in epochs(events)] == ([True] if at == "the last update" else [])


@dataclass
class Repeated:
    positions: list[int]
    validated: set[int]
    stopped_early: bool = False

    @property
    def updates(self) -> int:
        return len(self.positions)

    def position(self, step: int) -> int:
        return self.positions[step]

    def validates(self, epoch: int) -> bool:
        return epoch in self.validated


def test_what_was_recorded_is_repeated_bit_for_bit_whatever_the_clock_says():
    clock = Clock(slower_from=20.0)
    first = make(60.0, clock)
    events = trained(first, clock)
    positions = [event.position for event in updates(events)]
    record = Repeated(positions, {one.epoch for one in epochs(events) if one.val is not None})
    second = make(60.0, Clock(slower_from=0.0))
    assert second.pace is not None
    second.pace.recorded = record
    again = trained(second, Clock())
    assert [event.position for event in updates(again)] == positions
    assert [one.val for one in epochs(again)] == [one.val for one in epochs(events)]
    assert same_weights(first.model.state_dict(), second.model.state_dict())


def test_an_epoch_of_a_budget_is_cut_short_where_the_time_ends():
    clock = Clock()
    events = trained(make(20.0, clock), clock)
    steps = [one.step for one in epochs(events)]
    assert steps[:-1] == [STEPS * (index + 1) for index in range(len(steps) - 1)]
    assert steps[-1] == updates(events)[-1].step + 1
