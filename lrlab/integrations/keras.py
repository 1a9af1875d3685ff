"""Keras: schedules there."""

from collections.abc import Sequence
from typing import Any

import keras

from lrlab.api.schedule_value import Schedule, require_schedule


@keras.saving.register_keras_serializable("lrlab")
class ScheduleOfKeras(keras.optimizers.schedules.LearningRateSchedule):
    """A table with the LR of every update; past its end the last one."""

    def __init__(self, values: Sequence[float], name: str = "schedule"):
        super().__init__()
        self.values, self.name = list(values), name

    def __call__(self, step: Any) -> Any:
        count = keras.ops.clip(keras.ops.cast(step, "int32"), 0, len(self.values) - 1)
        table = keras.ops.convert_to_tensor(self.values, dtype=keras.backend.floatx())
        return keras.ops.take(table, count)

    def get_config(self) -> dict[str, Any]:
        return {"values": self.values, "name": self.name}


def to_keras(schedule: Schedule) -> ScheduleOfKeras:
    """A `LearningRateSchedule`, which a model saves along: `keras.optimizers.AdamW(to_keras(s))`.

    It holds the LR of every update of the run, so every schedule has one, in Keras's `floatx`.
    """
    require_schedule(schedule)
    schedule.tell_what_stays_behind()
    return ScheduleOfKeras(schedule.values(), schedule.name)
