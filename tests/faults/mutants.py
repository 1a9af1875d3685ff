"""Five ways to break what makes a run exact after a kill, one line of lrlab each; the harness must notice every one."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any


def no_random_state() -> None:
    from lrlab.system import randomness

    randomness.set_state = lambda *_: None


def no_cut_of_logs() -> None:
    from lrlab.runs import tracking

    tracking.cut_back = lambda *_: None


def saved_in_place() -> None:
    import torch

    from lrlab.runs import checkpoint
    from lrlab.system import archive

    def save(path: Path, contents: dict[str, Any], *, before: Path | None = None) -> None:
        del before
        path.parent.mkdir(exist_ok=True)
        archive.write(path, partial(torch.save, {"lrlab": checkpoint.FORMAT, **contents}), meant=path)

    checkpoint.save = save


def one_batch_off() -> None:
    from lrlab.data.batches import Batches

    original = Batches.epoch

    def epoch(batches: Batches, number: int, start: int = 0, stop: int | None = None) -> Iterator[Any]:
        return original(batches, number, start + 1 if start else 0, stop)

    Batches.epoch = epoch


def scheduler_forgotten() -> None:
    from lrlab.training.state import TrainState

    original = TrainState.load_state_dict

    def load_state_dict(state: TrainState, saved: dict[str, Any]) -> None:
        fresh = state.scheduler.state_dict()
        lrs = [group["lr"] for group in saved["optimizer"]["param_groups"]]
        original(state, {**saved, "scheduler": {**fresh, "_last_lr": lrs}})

    TrainState.load_state_dict = load_state_dict


ALL: tuple[Callable[[], None], ...] = (
    no_random_state,
    no_cut_of_logs,
    saved_in_place,
    one_batch_off,
    scheduler_forgotten,
)
