"""Lightning: a callback that watches and logs the LR, and writes a folder for `lrlab compare`."""

from pathlib import Path
from typing import Any

from lrlab.api.schedule_value import Schedule
from lrlab.api.watching import Watch
from lrlab.integrations.run_log import RunLog

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:  # the older name of the same package
    from pytorch_lightning.callbacks import Callback


class ScheduleCallback(Callback):
    """`Trainer(callbacks=[ScheduleCallback(schedule, data="cifar10", model="resnet18")])`.

    Warns (`lrlab.ScheduleWarning`) at the first update whose LR is not that of `schedule`, logs `lr/planned` and
    `lr/applied`, and writes `folder`. `metrics` says which of what the module logs is which of lrlab's metrics:
    `{"val_accuracy": "val_acc"}`; names that are equal need not be said. For modules with one optimizer.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        data: str,
        model: str,
        seed: int | None = None,
        folder: str | Path | None = None,
        metrics: dict[str, str] | None = None,
    ):
        self.schedule, self.names = schedule, {"data": data, "model": model}
        self.seed, self._given, self.folder = seed, folder, folder
        self.metrics = {name: name for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")}
        self.metrics |= metrics or {}
        self.log: RunLog | None = None
        self.watch: Watch | None = None  # of the latest training

    def on_train_start(self, trainer: Any, _module: Any) -> None:
        self.log = RunLog(
            trainer.optimizers[0],
            self.schedule,
            program="lightning",
            seed=self.seed,
            epochs=trainer.max_epochs,
            folder=self._given,
            start=trainer.global_step or None,
            **self.names,
        )
        self.folder, self.watch = self.log.folder, self.log.watch

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.log is not None and trainer.logger is not None and trainer.global_step % trainer.log_every_n_steps == 0:
            trainer.logger.log_metrics(self.log.lr, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
        measured = trainer.callback_metrics
        if self.log is not None:
            self.log.epoch(**{name: float(measured[own]) for name, own in self.metrics.items() if own in measured})

    def on_train_end(self, trainer: Any, _module: Any) -> None:
        if self.log is not None:
            self.log.end("interrupted" if trainer.interrupted else "finished")
            self.log = None

    def on_exception(self, _trainer: Any, _module: Any, exception: BaseException) -> None:
        if self.log is not None:
            status = "interrupted" if isinstance(exception, KeyboardInterrupt) else "failed"
            self.log.end(status, exception)
            self.log = None

    def state_dict(self) -> dict[str, Any]:
        return {"folder": str(self.folder) if self.folder is not None else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._given = self._given or state_dict["folder"]
