"""Transformers: a callback for its Trainer, and schedules there and back."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, get_scheduler

from lrlab.api.schedule import schedule
from lrlab.api.schedule_value import Schedule, require_schedule
from lrlab.api.watching import Watch
from lrlab.integrations.run_log import RunLog
from lrlab.schedules.law import wrong_argument
from lrlab.words import kind_of


class ScheduleTrainerCallback(TrainerCallback):
    """`Trainer(callbacks=[ScheduleTrainerCallback(schedule, data="sst2", model="bert")])`.

    Warns (`lrlab.ScheduleWarning`) at the first update whose LR is not that of `schedule`, adds `lr/planned` and
    `lr/applied` to the log history, and writes `folder` for `lrlab compare`: a row each time it evaluates. Reporters
    (TensorBoard, W&B) are told too where it stands before theirs: `trainer.callback_handler.callbacks.insert(0, ...)`.
    `metrics` says which of what it measures is which of lrlab's metrics, by default `eval_loss` and `eval_accuracy`.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        data: str,
        model: str,
        folder: str | Path | None = None,
        metrics: dict[str, str] | None = None,
    ):
        self.schedule, self.names = schedule, {"data": data, "model": model}
        self._given, self.folder = folder, folder
        self.metrics = {"val_loss": "eval_loss", "val_accuracy": "eval_accuracy"} | (metrics or {})
        self.log: RunLog | None = None
        self.watch: Watch | None = None  # of the latest training
        self._train_loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, _control: Any, **given: Any) -> None:
        if self.log is not None:  # a training that ended by an error, of which a callback is not told
            self.log.end("failed")
        epochs = int(-(-args.num_train_epochs // 1))
        self.log = RunLog(
            given["optimizer"],
            self.schedule,
            program="transformers",
            seed=args.seed,
            epochs=epochs,
            folder=self._given,
            start=state.global_step or None,
            **self.names,
        )
        self.folder, self.watch = self.log.folder, self.log.watch

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_more: Any) -> None:
        if self.log is not None and logs is not None and "loss" in logs:
            self._train_loss = float(logs["loss"])
            for entry in (logs, *state.log_history[-1:]):  # what the callbacks after this one see, and what is saved
                entry.update(self.log.lr)

    def on_evaluate(self, *_: Any, metrics: dict[str, float], **_more: Any) -> None:
        if self.log is None:
            return
        measured = {name: metrics[own] for name, own in self.metrics.items() if own in metrics}
        if self._train_loss is not None:
            measured["train_loss"] = self._train_loss
        self.log.epoch(**measured)

    def on_train_end(self, _args: Any, state: Any, _control: Any, **_more: Any) -> None:
        if self.log is not None:
            self.log.end("finished" if state.global_step >= state.max_steps else "interrupted")
            self.log = None


def to_transformers(schedule: Schedule) -> Callable[[Optimizer], LambdaLR]:
    """What makes the scheduler of a `Schedule` for an optimizer, as Transformers' own are made: torch's `LambdaLR`.

    `Trainer(..., optimizers=(optimizer, to_transformers(s)(optimizer)))`. It is stepped after every update, and gives
    each parameter group its own base LR times the factor.
    """

    require_schedule(schedule)
    schedule.tell_what_stays_behind()

    def make(optimizer: Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, schedule.factor)

    return make


def from_transformers(
    scheduler: "str | LambdaLR",
    *,
    lr: float | None = None,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    **scheduler_specific_kwargs: Any,
) -> Schedule:
    """A schedule of Transformers as one of lrlab's, under its name there and with the same LR to the last bit.

    `scheduler` is a name that `transformers.get_scheduler` takes, with its other arguments, or what that has made.
    For a made one that does not know its length, `num_training_steps` says it.

    Raises ValueError for those that follow a metric, or are no `LambdaLR`.
    """
    if isinstance(scheduler, str):
        name = scheduler
        try:
            scheduler = get_scheduler(
                name,
                torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=1.0 if lr is None else lr),
                num_warmup_steps=num_warmup_steps,
                num_training_steps=num_training_steps,
                scheduler_specific_kwargs=scheduler_specific_kwargs or None,
            )
        except (ValueError, TypeError, ImportError) as error:
            allowed = "what transformers.get_scheduler takes"
            raise wrong_argument("scheduler", got=f"{name!r} ({error})", allowed=allowed, do='"cosine"') from error
    else:
        name = ""
    if not isinstance(scheduler, LambdaLR):
        got = f"{kind_of(scheduler)}, whose LR is no function of the update alone"
        raise wrong_argument("scheduler", got=got, allowed="one of Transformers' LambdaLR schedules", do='"cosine"')
    function = scheduler.lr_lambdas[0]
    known = function.keywords if isinstance(function, functools.partial) else {}
    total = num_training_steps or known.get("num_training_steps")
    if total is None:
        do = "num_training_steps=1000"
        raise wrong_argument("num_training_steps", got="nothing", allowed="the updates of the run", do=do)
    base = float(scheduler.base_lrs[0]) if lr is None and not name else lr
    return schedule(_named(function, name or _name_of(function)), lr=base, total_steps=int(total))


def _name_of(function: Any) -> str:
    """What Transformers calls a schedule: the name of the function that makes it."""
    inner = function.func if isinstance(function, functools.partial) else function
    return inner.__name__.removeprefix("_").removesuffix("_lr_lambda")


def _named(function: Callable[[int], float], name: str) -> Callable[[int], float]:
    """`function` under a `name`."""

    def factor(t: int) -> float:
        return function(t)

    factor.__name__ = factor.__qualname__ = name
    return factor
