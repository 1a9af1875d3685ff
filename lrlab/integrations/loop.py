"""A loop of one's own, whose runs `lrlab compare` reads beside lrlab's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lrlab.api.schedule_value import Schedule, require_schedule
from lrlab.integrations.run_log import RunLog


@contextmanager
def logged(
    optimizer: Any,
    schedule: Schedule,
    *,
    data: str,
    model: str,
    seed: int | None = None,
    folder: str | Path | None = None,
    start: int | None = None,
) -> Iterator[RunLog]:
    """Watch the LR of a loop, and write a folder for `lrlab compare`.

        with logged(optimizer, schedule, data="cifar10", model="resnet18", seed=seed) as run:
            for epoch in range(epochs):
                ...
                run.epoch(train_loss=..., val_loss=..., val_accuracy=...)

    `data` and `model` are the names under which runs are comparable, `start` the update at which a resumed loop goes on
    in its `folder`, with the same schedule; what was seen of the LR before stays in the summary. An error that ends the
    loop is in the summary, and goes on.
    """
    require_schedule(schedule)
    epochs = schedule.horizon.epochs
    arguments: dict[str, Any] = {"data": data, "model": model, "seed": seed, "epochs": epochs}
    log = RunLog(optimizer, schedule, program="a loop", folder=folder, start=start, **arguments)
    try:
        yield log
    except BaseException as error:
        log.end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", error)
        raise
    log.end()
