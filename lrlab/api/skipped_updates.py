"""Updates that mixed precision skips, and LRs that are still on their way from a device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrlab.schedules.law import wrong_argument
from lrlab.words import kind_of


def unwrapped(optimizer: Any) -> Optimizer:
    """The optimizer of torch's that others are wrapped around, as Accelerate's and Lightning's are."""
    inner = optimizer
    while isinstance(getattr(inner, "optimizer", None), Optimizer):
        inner = inner.optimizer
    if not isinstance(inner, Optimizer):
        got = kind_of(optimizer)
        allowed = "an optimizer of torch's, or one around it"
        raise wrong_argument("optimizer", got=got, allowed=allowed, do="lrlab.watch(optimizer, schedule)")
    return inner


class PendingUpdate:
    """LRs, and whether the update was skipped, on their way from a device."""

    def __init__(self, lrs: list[Any], found_inf: Tensor | None):
        self.lrs = [_copied(lr) for lr in lrs]
        self._found_inf = _copied(found_inf)
        on_cuda = [one for one in (*lrs, found_inf) if isinstance(one, Tensor) and one.device.type == "cuda"]
        self._event: Any = None
        if on_cuda:
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(on_cuda[0].device))

    def is_here(self) -> bool:
        return self._event is None or self._event.query()

    def was_skipped(self) -> bool:
        if self._event is not None:
            self._event.synchronize()
        return self._found_inf is not None and float(self._found_inf) != 0


def _copied(value: Any) -> Any:
    """A number as it is, and a tensor as it is now, on its way to the CPU."""
    if not isinstance(value, Tensor):
        return value
    if value.device.type != "cuda":
        return value.detach().to("cpu", copy=True)
    # Into pinned memory, which alone is written without a wait, and in the order of the device's own work.
    copied = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
    return copied.copy_(value.detach(), non_blocking=True)


_told_of_skips: list[tuple[Optimizer, Callable[[], None]]] = []  # while anybody watches


def telling_of_skips(optimizer: Optimizer, skip: Callable[[], None]) -> Callable[[], None]:
    """Let `skip` be called where a GradScaler leaves out a step of `optimizer`; returns what undoes it.

    A scaler that skips does not call the optimizer, and nobody else is told. So its public `step` is another one while
    anybody watches (torch/amp/grad_scaler.py, seen in torch 2.11 to 2.15).
    """
    scaler = torch.amp.GradScaler
    entry = (optimizer, skip)
    if not _told_of_skips:
        original = scaler.step

        def step(self: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
            calls: list[Optimizer] = []
            inner = unwrapped(given) if self.is_enabled() else given
            told = [tell for watched, tell in _told_of_skips if watched is inner]
            hook = inner.register_step_post_hook(lambda *_: calls.append(inner)) if told else None
            try:
                result = original(self, given, *args, **kwargs)
            finally:
                if hook is not None:
                    hook.remove()
            for tell in told if not calls else ():
                tell()
            return result

        step._original = original  # type: ignore[attr-defined]
        scaler.step = step  # type: ignore[method-assign, assignment]
    _told_of_skips.append(entry)

    def undo() -> None:
        _told_of_skips.remove(entry)
        if not _told_of_skips:
            scaler.step = getattr(scaler.step, "_original", scaler.step)  # type: ignore[method-assign]

    return undo
