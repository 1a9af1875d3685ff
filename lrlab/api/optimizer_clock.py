"""The clock of a watch: an update is a call of an optimizer's `step()` that had gradients and that was not skipped."""

from collections import deque
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from lrlab.api.skipped_updates import PendingUpdate, telling_of_skips

_MOST_PENDING = 1000  # updates whose LR is still on a device before they are waited for


class OptimizerClock:
    """Calls `count` with the LRs of every update of `optimizer`, in order, and `skip` for each that was left out.

    An update is counted once its LRs have arrived from the device, which training does not wait for.
    """

    def __init__(self, optimizer: Optimizer, *, count: Callable[[list[Any]], None], skip: Callable[[], None]):
        self.optimizer = optimizer
        self._count = count
        self._skip = skip
        self._pending: deque[PendingUpdate] = deque()
        self._hooks: list[Any] = []
        self._undo_scaler: Callable[[], None] | None = None

    @property
    def is_running(self) -> bool:
        return bool(self._hooks)

    def begin(self) -> None:
        self._hooks.append(self.optimizer.register_step_post_hook(self._after_step))
        self._undo_scaler = telling_of_skips(self.optimizer, self._skipped_without_a_call)

    def end(self) -> None:
        """Look on no more; what is pending is counted."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        if self._undo_scaler is not None:
            self._undo_scaler()
            self._undo_scaler = None
        self.settle(wait=True)

    def settle(self, *, wait: bool) -> None:
        """Count the updates whose LR has arrived from the device; with `wait`, all."""
        while self._pending and (wait or self._pending[0].is_here()):
            pending = self._pending.popleft()
            if pending.was_skipped():
                self._skip()
            else:
                self._count(pending.lrs)

    def _after_step(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        groups = optimizer.param_groups
        if not _has_gradients(groups):
            return
        found_inf = getattr(optimizer, "found_inf", None)
        lrs = [group["lr"] for group in groups]
        if found_inf is None and not self._pending:
            for lr in lrs:
                if type(lr) is not float and isinstance(lr, Tensor) and lr.device.type != "cpu":
                    break
            else:
                self._count(lrs)
                return
        self._pending.append(PendingUpdate(lrs, found_inf))
        self.settle(wait=len(self._pending) > _MOST_PENDING)

    def _skipped_without_a_call(self) -> None:
        """Mixed precision left out an update, without a call of step()."""
        self.settle(wait=True)
        self._skip()


def _has_gradients(groups: list[dict[str, Any]]) -> bool:
    """Whether a step changes anything: without a single gradient it does not."""
    for group in groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                return True
    return False
