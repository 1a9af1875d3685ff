"""lrlab's complete run, as `python train.py` carries it out, with a clock that is read where an epoch begins."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import terminal
from benchmarks.timing import Missing


@dataclass
class Clock:
    """When each epoch began, and the last one ended. What is timed: all epochs but the first and the last.

    The first warms up; the last of a run of lrlab is followed by what no other epoch has, a validation that cannot be
    left out among it. So an epoch's time reaches from the moment its first batch is asked for to the moment the next
    epoch's is, and holds all that happens in between: tracking, progress, checkpoints.
    """

    device: str = "cpu"
    began: list[float] = field(default_factory=list)

    def epoch_begins(self) -> None:
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize()
        self.began.append(time.perf_counter())

    def seconds(self) -> float:
        """Of one epoch."""
        if len(self.began) < 3:
            raise RuntimeError(f"an epoch was to be timed, and only {len(self.began)} began")
        return (self.began[-1] - self.began[1]) / (len(self.began) - 2)


@dataclass
class Trained:
    """What was seen of a run."""

    folder: Path
    checkpoint_seconds: list[float] = field(default_factory=list)


def train(overrides: Sequence[str], clock: Clock, *, live: bool = True) -> Trained:
    """Carry out the run that `overrides` describe, in the folder `run`; `live`: with its bar, on a terminal.

    Raises Missing where this lrlab does not know one of the settings.
    """
    from lrlab.config.prepare import prepare
    from lrlab.config.targets import chosen
    from lrlab.runs import run

    config = composed(overrides)
    prepared = prepare(config, chosen(config, overrides), overrides)
    trained = Trained(Path("run"))
    trained.folder.mkdir()
    with epochs_timed(clock), saves_timed(trained), terminal() if live else contextlib.nullcontext():
        run.carry_out(prepared, trained.folder)
    return trained


def composed(overrides: Sequence[str]) -> Any:
    """The config of a run. Raises Missing where this lrlab does not know one of the settings."""
    from lrlab.config import compose
    from lrlab.errors import UserError

    try:
        return compose.compose(list(overrides))
    except UserError as error:
        raise Missing(f"lrlab says: {error.complaint}") from error


@contextlib.contextmanager
def epochs_timed(clock: Clock) -> Iterator[None]:
    """Read `clock` whenever the training batches of an epoch are asked for."""
    from lrlab.data.batches import Batches

    epoch = Batches.epoch

    def read_and_go_on(self: Batches, *arguments: Any, **named: Any) -> Any:
        if self.train:
            clock.epoch_begins()
        return epoch(self, *arguments, **named)

    Batches.epoch = read_and_go_on  # type: ignore[method-assign]
    try:
        yield
    finally:
        Batches.epoch = epoch  # type: ignore[method-assign]


@contextlib.contextmanager
def saves_timed(trained: Trained) -> Iterator[None]:
    """Take the time of every checkpoint that is written."""
    from lrlab.runs import checkpoint

    save = checkpoint.save

    def timed_save(*arguments: Any, **settings: Any) -> None:
        started = time.perf_counter()
        save(*arguments, **settings)
        trained.checkpoint_seconds.append(time.perf_counter() - started)

    checkpoint.save = timed_save
    try:
        yield
    finally:
        checkpoint.save = save
