"""The ranks of a run after the first. They train along with rank 0 and write nothing."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from lrlab.config.prepare import Checked, equip, place_images
from lrlab.runs.assemble import build_state, events, read_images, stop_is_agreed, unseen
from lrlab.runs.beginning import Beginning
from lrlab.runs.resume import restore
from lrlab.system import distributed
from lrlab.system.signals import Request, stop_request
from lrlab.training.divergence import Diverged


@dataclass(frozen=True)
class Assignment:
    """What the ranks that follow need to train along."""

    checked: Checked
    saved: dict[str, Any] | None  # the checkpoint's contents to go on from
    timeout_seconds: float  # how long they wait for each other


def follow() -> None:
    """Train along with each run that rank 0 hands out; for every rank but the first.

    Returns when rank 0 has no more, as after a signal. Raises PeerFailed where a rank is gone.
    """
    with stop_request() as request:  # between runs too: rank 0 decides when all end
        while (assignment := distributed.from_first(None)) is not None:
            try:
                _train_along(assignment, request)
            except Diverged:  # rank 0 says so
                continue


def _train_along(assignment: Assignment, request: Request) -> None:
    """Do what `runs.run` does on rank 0, without its files and its display."""
    with distributed.patience(assignment.timeout_seconds):
        # The same state and the same data.
        prepared, _ = place_images(equip(assignment.checked))
        state = build_state(prepared)
        if assignment.saved is not None:
            restore(state, assignment.saved, prepared)
        with (
            closing(read_images(prepared, unseen, request, train=True)) as train,
            closing(read_images(prepared, unseen, request, train=False)) as val,
        ):
            # What another run has trained of it.
            shared: Beginning | None = distributed.from_first(None)
            for _ in shared.played_back(state, prepared, prepared.task) if shared is not None else ():
                pass

            # The same loop.
            for event in events(prepared, state, train, val):
                if stop_is_agreed(event, request):
                    break
