"""optax: schedules there."""

from typing import Any

import jax.numpy

from lrlab.api.schedule_value import Schedule, require_schedule


def to_optax(schedule: Schedule) -> Any:
    """A function `count -> LR` as optax's schedules are, traceable under `jit`: `optax.adamw(to_optax(s))`.

    It looks the LR up in a table of the whole run, so every schedule has one, in JAX's own precision. Past the end of
    the run it stays at the last LR. Of a schedule without a base LR the values are factors.
    """
    require_schedule(schedule)
    schedule.tell_what_stays_behind()
    table = jax.numpy.asarray(schedule.values())
    last = len(schedule) - 1

    def lr(count: Any) -> Any:
        return table[jax.numpy.clip(count, 0, last)]

    lr.__name__ = lr.__qualname__ = schedule.name
    return lr
