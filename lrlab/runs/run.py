"""The shell of a run: builds everything from a checked config, drives the loop, and leaves a run's files in its folder.

config.yaml  summary.json  history.csv  events.out.tfevents.*  train.log  checkpoints/{last,previous,best}.pt
"""

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf

from lrlab.config.identity import MACHINE
from lrlab.config.names import run_name
from lrlab.config.prepare import Prepared, place_images
from lrlab.config.secrets import mask, mask_overrides
from lrlab.data.batches import Batches
from lrlab.data.room import Choice
from lrlab.errors import DataError, Interrupted, UserError, in_words
from lrlab.lr.audit import Audit
from lrlab.lr.hyperparameters import read
from lrlab.runs import assemble, checkpoint, summary
from lrlab.runs.describe import computed_by, count_parameters, device_name, hyperparameters, start_lines
from lrlab.runs.display import Display, View, result_line
from lrlab.runs.explain import explain
from lrlab.runs.ranks import Assignment
from lrlab.runs.resume import require_same_run, restore
from lrlab.runs.tracking import Tracker, refuse_second_run
from lrlab.system import disk, distributed, spelling
from lrlab.system.signals import Request, stop_request
from lrlab.training.divergence import Diverged, require_finite_weights
from lrlab.training.loop import Epoch, Update

_KEEPS = Diverged | disk.Refused  # errors that leave what was saved before them


class Saved(NamedTuple):
    """A checkpoint to go on from."""

    path: Path
    contents: dict[str, Any]


def carry_out(
    prepared: Prepared,
    folder: Path,
    saved: Saved | None = None,
    *,
    make_display: Callable[[int, int], View] = Display,
) -> float | None:
    """Train the run in `folder`, on from `saved` if that is not None, and return its validation loss.

    The caller holds the folder against other processes. `make_display` is told the epochs and the updates of an epoch.
    Raises UserError for a mistake, Diverged where the loss is no longer finite, and Interrupted where a signal stopped
    the run, after saving it.
    """
    if saved is not None:
        require_same_run(saved.contents, prepared)
        if _is_complete(saved, prepared, folder):
            epochs = prepared.trainer.epochs
            done = f"all {epochs} epochs of {folder} are" if epochs > 1 else f"the one epoch of {folder} is"
            print(f"nothing to do: {done} done; extend=EPOCHS goes on")
            return saved.contents["progress"]["val_loss"]
    contents = saved.contents if saved is not None else None
    assignment = Assignment(prepared.checked, contents, prepared.trainer.timeout)
    with (
        stop_request() as request,
        distributed.together(assignment, alike=(Diverged, Interrupted)),
        distributed.patience(assignment.timeout_seconds),
    ):
        return Run(prepared, folder, saved, make_display, request).to_its_end()


def _is_complete(saved: Saved, prepared: Prepared, folder: Path) -> bool:
    """Whether all epochs are done and the run said so; one that was stopped before it said so goes on to that point."""
    done = saved.contents["state"]["progress"]["epoch"] >= prepared.trainer.epochs
    return done and summary.read(folder).get("status") == "finished"


class Run:
    """A run under way: what it computes with, and what it writes."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        saved: Saved | None,
        make_display: Callable[[int, int], View],
        request: Request,
    ):
        if saved is None:
            refuse_second_run(folder)
        self.folder, self.request = folder, request
        self.prepared, kept = place_images(prepared)
        self.refused = False  # whether the user knows that the disk takes no more points

        # What it computes with.
        self.state = assemble.build_state(self.prepared)
        horizon = self.prepared.plan.horizon
        self.display = make_display(horizon.epochs, horizon.steps_per_epoch)
        self._introduce(kept)
        self.progress, self.audit = summary.Progress(self.prepared.task.metrics), Audit(self.prepared.plan)
        if saved is not None:
            self._restore(saved.contents)

        # Its data, which takes a while, and only then its files.
        self.train, self.val = self._read_images(train=True), self._read_images(train=False)
        self.tracker = self._open_files(saved)

    def _introduce(self, kept: Choice) -> None:
        """Say what is about to be trained."""
        prepared = self.prepared
        lines = start_lines(
            prepared.config,
            prepared.checked.choices,
            splits=prepared.splits,
            kept=kept,
            plan=prepared.plan,
            parameters=count_parameters(self.state.model),
            device=prepared.device,
            folder=self.folder,
        )
        self.display.say(*lines, *(f"warning: {warning}" for warning in prepared.checked.warnings))
        if prepared.trainer.compile:
            self.display.say("compile    before the first update, which takes a minute or so")

    def _restore(self, contents: dict[str, Any]) -> None:
        """Put the state of a checkpoint in place."""
        self.display.say(*restore(self.state, contents, self.prepared))
        self.progress.load_state_dict(contents["progress"])
        first = contents["config"]["trainer"]["epochs"]
        if first != self.prepared.trainer.epochs:
            self.progress.extended_from = self.progress.extended_from or first
        self.audit.load_state_dict(contents["audit"])

    def _read_images(self, *, train: bool) -> Batches:
        return assemble.read_images(self.prepared, self.display.reading, self.request, train=train)

    def _open_files(self, saved: Saved | None) -> Tracker:
        """Write the run's config and open its logs, cut back to what the checkpoint knows."""
        prepared = self.prepared
        if saved is not None and saved.path.name != checkpoint.LAST.name:
            # What last.pt says must not outlive the cut of the logs.
            checkpoint.save(self.folder / checkpoint.LAST, saved.contents)
        tracker = Tracker(
            self.folder,
            updates=prepared.plan.horizon.steps,
            driven=_driven(prepared, self.state.optimizer),
            metrics=prepared.task.metrics,
            hyperparameters=mask(hyperparameters(prepared.config, prepared.checked.choices)),
            trial=run_name(prepared.checked.overrides, leave_out=["seed", *(set(MACHINE) - {"data.root"})]),
            step=self.state.step,
            state=saved.contents["tracker"] if saved is not None else None,
        )
        try:
            config = OmegaConf.create(mask(prepared.checked.saved_config))
            disk.write_whole(self.folder / "config.yaml", OmegaConf.to_yaml(config))
        except BaseException:
            tracker.close()
            raise
        return tracker

    def to_its_end(self) -> float | None:
        """Train to the end, to a signal or to an error, and leave the folder in order whichever it is."""
        try:
            self.write_summary("running")
            self._require_that_it_can_be_saved()
            with self.display:
                self._train()
        except BaseException as error:
            told = self._failed(error)
            if told is None:
                raise
            raise told from error
        finally:
            self.train.close()
            self.val.close()
        if self.state.epoch == self.prepared.trainer.epochs:
            self._finished()
        else:
            self._stopped()
        if self.request.number:
            raise Interrupted(self.request.number)
        return self.progress.val_loss

    def _require_that_it_can_be_saved(self) -> None:
        """Save now, read that back, and look whether there is room for more: better than to find out after an epoch."""
        last = self.folder / checkpoint.LAST
        self.save(checkpoint.LAST)
        checkpoint.require_readable(last)
        disk.require_room(self.folder, 2 * last.stat().st_size, "two checkpoints more")

    def _train(self) -> None:
        """Train, and save what was reached if an image cannot be read: that shows between two updates."""
        try:
            self._loop()
        except DataError:
            # The data has to be mended before the run goes on, and then is not what it was.
            self.prepared = replace(self.prepared, checked=replace(self.prepared.checked, contents=None))
            with suppress(UserError, OSError):
                self._save_within_an_epoch()
            raise

    def _loop(self) -> None:
        """The loop's body: what other frameworks do in callbacks."""
        for event in assemble.events(self.prepared, self.state, self.train, self.val):
            self.display.show(event)
            if isinstance(event, Update):
                self._after_update(event)
            elif isinstance(event, Epoch):
                self._after_epoch(event)
            if assemble.stop_is_agreed(event, self.request):
                if not isinstance(event, Epoch):
                    self._save_within_an_epoch()
                return

    def _after_update(self, update: Update) -> None:
        """Record it, compare its LR with the plan, and save where that is due."""
        self.tracker.update(update.step, update.applied, update.loss)
        self._warn_of_refusal()
        if warning := self.audit.check(update.step, update.applied):
            self.display.say(warning)
        if self.prepared.rhythm.due(self.state.step):
            self._save_within_an_epoch()

    def _after_epoch(self, epoch: Epoch) -> None:
        """Record its means and save it."""
        self.tracker.epoch(epoch.epoch, epoch.step, epoch.lr, epoch.measured, epoch.seconds)
        self._warn_of_refusal()
        if self.progress.add(epoch.epoch, epoch.seconds, epoch.measured, self.prepared.trainer.monitor):
            self.save(checkpoint.BEST)  # before last.pt, which claims that it is there
        self.save(checkpoint.LAST)

    def _warn_of_refusal(self) -> None:
        """Say once that the disk takes no more points; training goes on, and they are kept until it does."""
        if self.tracker.refusal and not self.refused:
            self.display.say(f"warning: {self.tracker.refusal}; training goes on, and what is missing is tried again")
            self.refused = True

    def _save_within_an_epoch(self) -> None:
        require_finite_weights(self.state)
        self.save(checkpoint.LAST)

    def save(self, path: Path) -> None:
        """Write the checkpoint `path`; of last.pt the one before stays too."""
        contents = {
            "state": self.state.state_dict(),
            "progress": self.progress.state_dict(),
            "audit": self.audit.state_dict(),
            "tracker": self.tracker.state_dict(),
            "config": mask(self.prepared.checked.saved_config),
            "overrides": mask_overrides(self.prepared.checked.overrides),
            "choices": self.prepared.checked.choices,
            "facts": self.prepared.facts(),
            "computed_by": computed_by(self.prepared.device),
        }
        before = self.folder / checkpoint.PREVIOUS if path == checkpoint.LAST else None
        checkpoint.save(self.folder / path, contents, before=before)
        if path == checkpoint.LAST:
            self.prepared.rhythm.saved(self.state.step)

    def _finished(self) -> None:
        self.tracker.close("success")
        self._warn_of_refusal()
        self.write_summary("finished")
        self.display.say(result_line(self.progress, self.state.step, self.prepared.trainer.monitor))

    def _stopped(self) -> None:
        """A signal ended it, and it is saved."""
        self.tracker.close()
        self.write_summary("interrupted")
        self.display.say(
            f"stopped by {self.request.name} after update {self.state.step}, saved; to go on:",
            f"{spelling.command('train')} resume={shlex.quote(str(self.folder))}",
        )

    def _failed(self, error: BaseException) -> UserError | None:
        """Close the files and write down what ended the run; the error to raise in place of `error`, if any."""
        told = self._with_checkpoint(error) if isinstance(error, _KEEPS) else explain(error)
        failed = isinstance(error, Exception | SystemExit)  # or else a second Ctrl-C
        self.tracker.close("failure" if failed else None)
        status = "failed" if failed else "interrupted"
        if isinstance(error, Diverged):
            status = "diverged"
        with suppress(disk.Refused):  # the error itself says more
            self.write_summary(status, error=in_words(told or error))
        return told

    def _with_checkpoint(self, error: Diverged | disk.Refused) -> UserError:
        """The error and what is left of the run."""
        last = self.folder / checkpoint.LAST
        if not last.exists():
            return error
        where = f"{shlex.quote(str(last))} (update {self.prepared.rhythm.last})"
        return error.adding(f"last good checkpoint: {where}")

    def write_summary(self, status: str, **facts: Any) -> None:
        """Write summary.json."""
        prepared = self.prepared
        summary.write(
            self.folder,
            status=status,
            progress=self.progress,
            updates=self.state.step,
            parameters=count_parameters(self.state.model),
            device=device_name(prepared.device),
            choices=prepared.checked.choices,
            versions=summary.versions(),
            plan=prepared.plan.summary(),
            contents=prepared.checked.contents,
            warnings=[*prepared.checked.warnings, *filter(None, [self.tracker.refusal])],
            audit=self.audit.summary(prepared.scheduler.monitor, self.state.step),
            **facts,
        )


def _driven(prepared: Prepared, optimizer: torch.optim.Optimizer) -> list[str]:
    """The hyperparameters to record: what is planned to change, and every LR, planned or not."""
    lrs = [name for name in read(optimizer) if name.startswith("lr")]
    return list(dict.fromkeys([*lrs, *prepared.plan.driven()]))
