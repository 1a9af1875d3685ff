"""The schedule of some parameter groups alone, beside the run's scheduler and on a clock of its own."""

from typing import Any

from torch.optim import Optimizer

from lrlab.errors import UserError, first_line, wrong


class OwnSchedule:
    """A scheduler that drives a stand-in of the optimizer, and so never touches what another one drives.

    It steps after every `every` counts of the clock, from the moment on when `delay` of such steps are over: there its
    own time is 0. `key` names the setting in errors.
    """

    def __init__(self, scheduler: Any, stand_in: Optimizer, *, every: int, delay: int, key: str):
        self.scheduler, self.stand_in = scheduler, stand_in
        self.every, self.delay, self.key = every, delay, key

    @property
    def lr(self) -> float:
        """The LR in force, before the scale of a group."""
        return float(self.scheduler.get_last_lr()[0])

    def advance(self, count: int) -> None:
        """Go on by one, to `count` of the clock. Raises UserError where the scheduler fails."""
        own, rest = divmod(count, self.every)
        if rest or own <= self.delay:
            return
        try:
            self.scheduler.step()
        except UserError as error:
            raise error.under(self.key) from error
        except Exception as error:
            kind = type(self.scheduler).__name__
            raise wrong(
                self.key,
                got=f"{kind}, which fails after {own - 1} steps ({type(error).__name__}: {first_line(error)})",
                allowed="a scheduler that lasts the rest of the run, from the end of the group's delay on",
                do="make its durations fit the run, for example in percent",
            ) from error

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state_dict)
        self.stand_in.param_groups[0]["lr"] = self.lr  # many compute the next LR from the one that they left there
