"""The shell: builds everything from a config, drives the loop, and leaves a run's files in its folder.

config.yaml  summary.json  history.csv  events.out.tfevents.*  train.log  checkpoints/{last,previous,best}.pt
"""

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lrlab.config.identity import MACHINE
from lrlab.config.names import run_name
from lrlab.config.prepare import Prepared, place_images, prepare
from lrlab.config.secrets import mask, mask_overrides
from lrlab.data.batches import Batches
from lrlab.errors import DataError, Interrupted, UserError, in_words
from lrlab.lr.audit import Audit
from lrlab.lr.hyperparameters import read
from lrlab.runs import assemble, checkpoint, summary
from lrlab.runs.describe import computed_by, count_parameters, device_name, hyperparameters, start_lines
from lrlab.runs.display import Display, View, result_line
from lrlab.runs.resume import require_same_run, restore
from lrlab.runs.tracking import Tracker, refuse_second_run
from lrlab.system import disk, distributed
from lrlab.system.lock import held
from lrlab.system.signals import Request, stop_request
from lrlab.training.loop import Diverged, Epoch, TrainState, Update, require_finite_weights

log = logging.getLogger(__name__)


@dataclass
class Run:
    """A run under way: what it computes with, and what it writes."""

    folder: Path
    prepared: Prepared
    overrides: list[str]  # what the user typed, to compose the same config when it is resumed
    choices: dict[str, str]  # what was chosen in each group
    state: TrainState
    train: Batches
    val: Batches
    tracker: Tracker
    progress: summary.Progress
    audit: Audit
    display: View
    refused: bool = False  # whether the user knows that the disk takes no more points


def run(
    config: DictConfig, folder: Path, *, choices: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
) -> float | None:
    """Train the run that `config` describes, in `folder`, and return its validation loss.

    With `config.resume` the run of that checkpoint goes on. Raises UserError for a mistake, Diverged where the loss
    is no longer finite, and Interrupted where a signal stopped the run, after saving it.
    """
    with held(folder), stop_request() as request:
        saved = None
        if config.resume:
            path, saved = checkpoint.latest(config.resume, log.warning)
            config = OmegaConf.create({**config, "resume": str(path)})
        return train_to_the_end(
            config, folder, saved, choices=choices or {}, overrides=overrides, make_display=Display, request=request
        )


def train_to_the_end(
    config: DictConfig,
    folder: Path,
    saved: dict[str, Any] | None,
    *,
    choices: Mapping[str, str],
    overrides: Sequence[str],
    make_display: Callable[[int, int], View],
    request: Request,
) -> float | None:
    """Carry out the run in `folder`, which the caller holds, on from `saved` if that is not None; see `run`."""
    prepared = prepare(config)
    if saved is not None:
        require_same_run(saved, prepared)
        complete = saved["state"]["progress"]["epoch"] >= prepared.trainer.epochs
        if complete and summary.read(folder).get("status") == "finished":  # or else it was stopped before it said so
            print(f"nothing to do: all {prepared.trainer.epochs} epochs of {folder} are done; extend=EPOCHS goes on")
            return saved["progress"]["val_loss"]
    task = assemble.Task(prepared.config, saved, prepared.trainer.timeout)
    with (
        distributed.together(task, alike=(Diverged, Interrupted)),
        distributed.patience(task.timeout_seconds),
    ):
        this = _start(
            prepared,
            folder,
            saved,
            choices=dict(choices),
            overrides=list(overrides),
            make_display=make_display,
            request=request,
        )
        return _carry_out(this, request)


def _start(
    prepared: Prepared,
    folder: Path,
    saved: dict[str, Any] | None,
    *,
    choices: dict[str, str],
    overrides: list[str],
    make_display: Callable[[int, int], View],
    request: Request,
) -> Run:
    """Build everything that the run computes with, then open its files."""
    if saved is None:
        refuse_second_run(folder)
    prepared, kept = place_images(prepared)
    state, horizon = assemble.build_state(prepared), prepared.plan.horizon
    display = make_display(horizon.epochs, horizon.steps_per_epoch)
    display.say(
        *start_lines(
            prepared.config,
            choices,
            splits=prepared.splits,
            kept=kept,
            plan=prepared.plan,
            parameters=count_parameters(state.model),
            device=prepared.device,
            folder=folder,
        ),
        *(f"warning: {warning}" for warning in prepared.warnings),
    )
    if prepared.trainer.compile:
        display.say("compile    before the first update, which takes a minute or so")
    progress, audit = summary.Progress(), Audit(prepared.plan)
    if saved is not None:
        display.say(*restore(state, saved, prepared))
        progress = summary.Progress(**saved["progress"])
        if (first := saved["config"]["trainer"]["epochs"]) != horizon.epochs:
            progress.extended_from = progress.extended_from or first
        audit.load_state_dict(saved["audit"])
    train, val = (assemble.read_images(prepared, display.reading, request, train=train) for train in (True, False))
    tracker = _open_files(
        prepared, folder, saved, state=state, compared=hyperparameters(prepared.config, choices), overrides=overrides
    )
    return Run(folder, prepared, overrides, choices, state, train, val, tracker, progress, audit, display)


def _open_files(
    prepared: Prepared,
    folder: Path,
    saved: dict[str, Any] | None,
    *,
    state: TrainState,
    compared: dict[str, Any],
    overrides: list[str],
) -> Tracker:
    """Write the run's config and open its logs, cut back to what `saved` knows; HPARAMS shows what is `compared`."""
    if saved is not None and checkpoint.find(prepared.config["resume"]).name != checkpoint.LAST.name:
        checkpoint.save(folder / checkpoint.LAST, saved)  # what last.pt says must not outlive the cut of the logs
    tracker = Tracker(
        folder,
        updates=prepared.plan.horizon.steps,
        driven=_driven(prepared, state.optimizer),
        hyperparameters=mask(compared),
        trial=run_name(overrides, leave_out=["seed", *(key for key in MACHINE if key != "data.root")]),
        step=state.step,
        state=saved["tracker"] if saved else None,
    )
    try:
        disk.write_whole(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(mask(prepared.saved_config))))
    except BaseException:
        tracker.close()
        raise
    return tracker


def _driven(prepared: Prepared, optimizer: torch.optim.Optimizer) -> list[str]:
    """The hyperparameters to record: what is planned to change, and every LR, planned or not."""
    return list(dict.fromkeys([*(name for name in read(optimizer) if name.startswith("lr")), *prepared.plan.driven()]))


def _carry_out(this: Run, request: Request) -> float | None:
    """Train to the end, to a signal or to an error, and leave the folder in order whichever it is."""
    try:
        _write_summary(this, "running")
        _save(this, checkpoint.LAST)
        checkpoint.require_readable(this.folder / checkpoint.LAST)
        size = (this.folder / checkpoint.LAST).stat().st_size
        disk.require_room(this.folder, 2 * size, "two checkpoints more")
        with this.display:
            _train(this, request)
    except BaseException as error:
        told = _with_checkpoint(this, error) if isinstance(error, _KEEPS) else assemble.explain(error)
        failed = isinstance(error, Exception | SystemExit)  # or else a second Ctrl-C
        this.tracker.close("failure" if failed else None)
        status = "diverged" if isinstance(error, Diverged) else "failed" if failed else "interrupted"
        with suppress(disk.Refused):  # the error itself says more
            _write_summary(this, status, error=in_words(told or error))
        if told is None:
            raise
        raise told from error
    finally:
        this.train.close()
        this.val.close()
    if this.state.epoch == this.prepared.trainer.epochs:
        this.tracker.close("success")
        _warn_of_refusal(this)
        _write_summary(this, "finished")
        this.display.say(result_line(this.progress, this.state.step, this.prepared.trainer.monitor))
    else:
        this.tracker.close()
        _write_summary(this, "interrupted")
        this.display.say(
            f"stopped by {request.name} after update {this.state.step}, saved; to go on:",
            f"{distributed.command()} train.py resume={shlex.quote(str(this.folder))}",
        )
    if request.number:
        raise Interrupted(request.number)
    return this.progress.val_loss


_KEEPS = Diverged | disk.Refused  # errors that leave what was saved before them


def _with_checkpoint(this: Run, error: Diverged | disk.Refused) -> UserError:
    """The error and what is left of the run."""
    last = this.folder / checkpoint.LAST
    if not last.exists():
        return error
    return type(error)(f"{error}; last good checkpoint: {shlex.quote(str(last))} (update {this.prepared.rhythm.last})")


def _warn_of_refusal(this: Run) -> None:
    """Say once that the disk takes no more points; training goes on, and they are kept until it does."""
    if this.tracker.refusal and not this.refused:
        this.display.say(f"warning: {this.tracker.refusal}; training goes on, and what is missing is tried again")
        this.refused = True


def _train(this: Run, request: Request) -> None:
    """Train, and save what was reached if an image cannot be read: that shows between two updates."""
    try:
        _loop(this, request)
    except DataError:
        this.prepared.splits.forget_contents()
        with suppress(UserError, OSError):
            require_finite_weights(this.state)
            _save(this, checkpoint.LAST)
        raise


def _loop(this: Run, request: Request) -> None:
    """The loop's body: what other frameworks do in callbacks."""
    for event in assemble.events(this.prepared, this.state, this.train, this.val):
        this.display.show(event)
        if isinstance(event, Update):
            this.tracker.update(event.step, event.applied, event.loss)
            _warn_of_refusal(this)
            if warning := this.audit.check(event.step, event.applied):
                this.display.say(warning)
            if this.prepared.rhythm.due(this.state.step):
                require_finite_weights(this.state)
                _save(this, checkpoint.LAST)
        elif isinstance(event, Epoch):
            metrics = _metrics(event)
            this.tracker.epoch(event.epoch, event.step, event.lr, metrics, event.seconds)
            _warn_of_refusal(this)
            if this.progress.add(event.epoch, event.seconds, metrics, this.prepared.trainer.monitor):
                _save(this, checkpoint.BEST)  # before last.pt, which claims that it is there
            _save(this, checkpoint.LAST)
        if assemble.stop_is_agreed(event, request):
            if not isinstance(event, Epoch):
                require_finite_weights(this.state)
                _save(this, checkpoint.LAST)
            return


def _metrics(event: Epoch) -> dict[str, float]:
    metrics = {"train_loss": event.train.loss, "train_accuracy": event.train.accuracy}
    if event.val is not None:
        metrics |= {"val_loss": event.val.loss, "val_accuracy": event.val.accuracy}
    return metrics


def _save(this: Run, path: Path) -> None:
    """Write the checkpoint `path`; of last.pt the one before stays too."""
    checkpoint.save(
        this.folder / path,
        {
            "state": this.state.state_dict(),
            "progress": asdict(this.progress),
            "audit": this.audit.state_dict(),
            "tracker": this.tracker.state_dict(),
            "config": mask(this.prepared.saved_config),
            "overrides": mask_overrides(this.overrides),
            "choices": this.choices,
            "facts": this.prepared.facts(),
            "computed_by": computed_by(this.prepared.device),
        },
        before=this.folder / checkpoint.PREVIOUS if path == checkpoint.LAST else None,
    )
    if path == checkpoint.LAST:
        this.prepared.rhythm.saved(this.state.step)


def _write_summary(this: Run, status: str, **facts: Any) -> None:
    summary.write(
        this.folder,
        status=status,
        progress=this.progress,
        updates=this.state.step,
        parameters=count_parameters(this.state.model),
        device=device_name(this.prepared.device),
        choices=this.choices,
        versions=summary.versions(),
        plan=this.prepared.plan.summary(),
        contents=this.prepared.splits.contents,
        warnings=[*this.prepared.warnings, *filter(None, [this.tracker.refusal])],
        audit=this.audit.summary(this.prepared.scheduler.monitor, this.state.step),
        **facts,
    )
