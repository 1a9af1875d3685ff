"""A run from its start to its end. It builds everything from a checked config, trains, and keeps its folder in order.

Which files that are, and how they are opened, is said in `runs.files`.
"""

import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrlab.config import other_data, trust
from lrlab.config.prepare import Prepared, place_images
from lrlab.data.batches import Batches
from lrlab.data.room import Choice
from lrlab.errors import DataError, Interrupted, UserError, complaint_of, in_words
from lrlab.lr.audit import Audit
from lrlab.lr.horizon import Horizon
from lrlab.runs import assemble, averaged, beginning, checkpoint, ending, files, replay, summary
from lrlab.runs.beginning import Beginning, Recorder, Sharing
from lrlab.runs.beside import Beside
from lrlab.runs.describe import count_parameters, device_name, division_lines, start_lines
from lrlab.runs.display import Display, View, epoch_line, result_line
from lrlab.runs.explain import explain
from lrlab.runs.files import Saved
from lrlab.runs.ranks import Assignment
from lrlab.runs.resume import horizon_before, require_same_run, restore
from lrlab.runs.tracking import refuse_second_run
from lrlab.system import disk, distributed, repository, spelling
from lrlab.system.signals import Request, stop_request
from lrlab.training import averages
from lrlab.training.divergence import Diverged, require_finite_weights
from lrlab.training.loop import Epoch, Update
from lrlab.training.metrics import is_of_average
from lrlab.words import counted

_KEEPS = Diverged | disk.Refused  # after these errors the last checkpoint is still good


def carry_out(
    prepared: Prepared,
    folder: Path,
    saved: Saved | None = None,
    *,
    make_display: Callable[[Horizon], View] = Display,
    sharing: Sharing | None = None,
) -> float | None:
    """Train the run in `folder` and return its validation loss. It goes on from `saved` if that is not None.

    The caller holds the folder against other processes. `make_display` is told how long the run is, and `sharing` says
    what it shares with other runs.
    Raises UserError for a mistake and Diverged where the loss is no longer finite. Raises Interrupted where a signal
    stopped the run, which is saved before.
    """
    # Is it the same run, and is anything left to do?
    if saved is not None:
        require_same_run(saved.contents, prepared)
        if ending.is_complete(saved.contents, prepared, folder):
            print(f"nothing to do: {ending.what_is_done(saved.contents, prepared, folder)}")
            return saved.contents["progress"]["val_loss"]

    # Train, together with the other ranks if there are any.
    contents = saved.contents if saved is not None else None
    assignment = Assignment(prepared.checked, contents, prepared.trainer.timeout)
    with (
        stop_request() as request,
        distributed.together(assignment, alike=(Diverged, Interrupted)),
        distributed.patience(assignment.timeout_seconds),
    ):
        return RunUnderWay(prepared, folder, saved, make_display, request, sharing=sharing).to_its_end()


class RunUnderWay:
    """What a run under way computes with, and what it writes."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        saved: Saved | None,
        make_display: Callable[[Horizon], View],
        request: Request,
        *,
        sharing: Sharing | None = None,
    ):
        if saved is None:
            refuse_second_run(folder)
        self.folder = folder
        self.request = request
        self.prepared, kept = place_images(prepared)
        self.refused = False  # whether the user knows that the disk takes no more points
        self.unwritten: dict[Path, dict[str, Any]] = {}  # checkpoints of the latest and the best epoch, in memory

        # What it computes with.
        self.state = assemble.build_state(self.prepared)
        if self.state.pace is not None and (repeated := self.prepared.config.get("replay")):
            self.state.pace.recorded = replay.read(Path(repeated))
        self.display = make_display(self.prepared.horizon)
        self._introduce(kept)
        self.tally = summary.Tally(self.prepared.task.metrics, averaged=self.state.average is not None)
        self.audit = Audit(self.prepared.plan)
        if saved is not None:
            with checkpoint.restoring(saved.path, "state"):
                self._restore(saved.contents)

        # Its data, which takes a while, and only then its files.
        with ExitStack() as opened:
            self.train = opened.enter_context(closing(self._read_images(train=True)))
            self.val = opened.enter_context(closing(self._read_images(train=False)))
            with checkpoint.restoring(saved.path, "logs") if saved is not None else nullcontext():
                self.tracker = files.open_logs(folder, self.prepared, self.state, saved)
            if saved is not None:
                checkpoint.settle_best(folder, self.tally.best_epoch)
            opened.pop_all()  # they stay open, until the run ends
        self.beside = Beside(self.prepared, folder, self.display.say, resumes=saved is not None)

        # What it shares with other runs.
        self.begun_with = saved.contents.get("begun_with") if saved is not None else None
        self.beginning = beginning.find(sharing, self.prepared) if sharing is not None and not self.state.step else None
        self.recorder = self._recorder(sharing) if sharing is not None and sharing.forks else None

    def _introduce(self, kept: Choice) -> None:
        """Say what is about to be trained."""
        prepared = self.prepared
        lines = start_lines(
            prepared.config,
            prepared.checked.choices,
            splits=prepared.splits,
            kept=kept,
            plan=prepared.plan,
            model=self.state.model,
            device=prepared.device,
            folder=self.folder,
        )
        lines += division_lines(self.state.model, self.state.optimizer)
        if prepared.average is not None:
            lines.append(f"{'average':<9}  {averaged.in_words(prepared.average)}")
        self.display.say(*lines, *(f"warning: {warning}" for warning in prepared.checked.warnings))
        if prepared.trainer.compile:
            self.display.say("compile    before the first update, which takes a minute or so")

    def _restore(self, contents: dict[str, Any]) -> None:
        """Put the state of a checkpoint in place."""
        self.display.say(*restore(self.state, contents, self.prepared))
        self.tally.load_state_dict(contents["progress"])
        planned = horizon_before(contents, self.prepared)
        if planned != self.prepared.horizon:
            self.tally.extended_from = self.tally.extended_from or planned.passes
        self.audit.load_state_dict(contents["audit"])

    def _read_images(self, *, train: bool) -> Batches:
        return assemble.read_images(self.prepared, self.display.reading, self.request, train=train)

    def _recorder(self, sharing: Sharing) -> Recorder | None:
        """What keeps the run for others to begin with; None where its own beginning is not known any more."""
        recorder = Recorder(sharing, self.prepared, self.folder)
        if not self.state.step:
            return recorder
        best = None
        if self.tally.best_epoch is not None:
            with suppress(UserError):
                best = checkpoint.load(self.folder / checkpoint.BEST)["state"]
            if best is None:
                return None
        return recorder if recorder.resume(self.state, best) else None

    def to_its_end(self) -> float | None:
        """Train to the end, to a signal or to an error. The folder is left in order whichever it is."""
        # Train. What goes wrong is written down and explained.
        try:
            self.write_summary("running")
            self.save()
            files.require_savable(self.folder)
            if self.beginning is not None:
                self._play_back(self.beginning)
            with self.display:
                self._train()
            self._write_checkpoints()
        except BaseException as error:
            told = self._failed(error)
            if told is None:
                raise
            raise told from error
        finally:
            self.train.close()
            self.val.close()

        # Say how it ended.
        if assemble.is_complete(self.prepared, self.state):
            self._finished()
        else:
            self._stopped()
        if self.request.number:
            raise Interrupted(self.request.number)
        return self.tally.val_loss

    def _play_back(self, shared: Beginning) -> None:
        """Begin with what another run has trained, as if it had been trained here."""
        self.display.say(
            f"begins     with {counted(shared.updates, 'update')} that another run of its sweep has trained"
        )
        if self.recorder is not None:
            self.recorder.begin_with(shared)
        for event in shared.played_back(self.state, self.prepared, self.prepared.task):
            if isinstance(event, Update):
                self._record_update(event)
            elif self._record_epoch(event) and event.epoch == shared.best_epoch:
                self._keep_best(checkpoint.copied(self._contents()))
            if isinstance(event, Epoch):
                self.display.say(epoch_line(event, self.prepared.horizon.known_epochs))
        self.begun_with = {"updates": shared.updates, "seconds": shared.seconds}
        self.save()

    def _train(self) -> None:
        """Train. If an image cannot be read, which shows between two updates, save what was reached before."""
        try:
            self._loop()
        except DataError:
            # The user has to replace that image before the run goes on, so its file will be another one.
            known = other_data.to_be_mended(self.prepared.checked.contents)
            self.prepared = replace(self.prepared, checked=replace(self.prepared.checked, contents=known))
            with suppress(UserError, OSError):
                self._save_within_an_epoch()
                self.display.say(f"saved after update {self.state.step}; to go on once that is mended:", self._go_on())
            raise
        except Interrupted:  # by a signal, while the next images did not come
            self._save_within_an_epoch()

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
        """Record an update, and save where that is due."""
        self._record_update(update)
        if self.recorder is not None:
            self.recorder.update(update)
            if self.state.batch < self.prepared.horizon.steps_per_epoch:  # or else others part after the epoch
                self.recorder.leave(self.state.step, self._state)
        if self.prepared.rhythm.due(self.state.step):
            self._save_within_an_epoch()

    def _record_update(self, update: Update) -> None:
        """Record an update, and compare its LR with the plan."""
        recorded = update.applied if update.effective is None else {**update.applied, **update.effective}
        self.tracker.update(update.step, recorded, update.loss, update.position)
        self.beside.update(update.step, recorded)
        self._warn_of_refusal()
        if warning := self.audit.check(update.step, update.applied, update.position):
            self.display.say(warning)

    def _after_epoch(self, epoch: Epoch) -> None:
        """Record the means of an epoch and save the run."""
        is_best = self._record_epoch(epoch)
        is_due = self.prepared.rhythm.due(self.state.step, ends_epoch=True)
        at_once = is_due and self.recorder is None  # before training goes on
        contents = self._contents() if at_once else checkpoint.copied(self._contents())
        self.unwritten[checkpoint.LAST] = contents
        if is_best:
            self._keep_best(contents)
        if self.recorder is not None:
            self.recorder.epoch(epoch, contents["state"] if is_best else None)
            self.recorder.leave(self.state.step, self._state)
        if is_due:
            self._write_checkpoints()

    def _record_epoch(self, epoch: Epoch) -> bool:
        """Record the means of an epoch; returns whether it is the best so far."""
        self.tracker.epoch(epoch.epoch, epoch.step, epoch.lr, epoch.measured, epoch.seconds)
        self.beside.epoch(epoch.step, epoch.measured)
        self._warn_of_refusal()
        return self.tally.add(epoch.epoch, epoch.seconds, epoch.measured, self.prepared.trainer.monitor)

    def _keep_best(self, contents: dict[str, Any]) -> None:
        """Have best.pt hold `contents`, of the best epoch, when it is written the next time."""
        if is_of_average(self.prepared.trainer.monitor):
            contents = {**contents, "state": averages.in_front(contents["state"])}
        self.unwritten[checkpoint.BEST] = contents

    def _warn_of_refusal(self) -> None:
        """Say once that the disk takes no more points. Training goes on, and the points wait in memory."""
        if self.tracker.refusal and not self.refused:
            self.display.say(f"warning: {self.tracker.refusal}; training goes on, and what is missing is tried again")
            self.refused = True

    def _save_within_an_epoch(self) -> None:
        require_finite_weights(self.state)
        self.save()

    def save(self) -> None:
        """Write last.pt of the run as it is now."""
        self.unwritten[checkpoint.LAST] = self._contents()
        self._write_checkpoints()

    def _write_checkpoints(self) -> None:
        """Write what is only in memory. The last.pt before this one stays as previous.pt.

        The best one comes first, for last.pt claims that it is there. The best one that last.pt still speaks of stays
        until then. What the disk refuses stays in memory.
        """
        if not self.unwritten:
            return
        began = time.monotonic()
        self.tracker.sync()  # they speak of its files
        best_before = self.folder / checkpoint.BEST_BEFORE
        if (best := self.unwritten.get(checkpoint.BEST)) is not None:
            kept = None if best_before.exists() else best_before
            checkpoint.save(self.folder / checkpoint.BEST, best, before=kept)
            del self.unwritten[checkpoint.BEST]
        if (last := self.unwritten.get(checkpoint.LAST)) is not None:
            if self.recorder is not None:
                self.recorder.save(last["state"]["progress"]["step"])
            checkpoint.save(self.folder / checkpoint.LAST, last, before=self.folder / checkpoint.PREVIOUS)
            del self.unwritten[checkpoint.LAST]
            best_before.unlink(missing_ok=True)
            self.prepared.rhythm.saved(last["state"]["progress"]["step"], time.monotonic() - began)

    def _contents(self) -> dict[str, Any]:
        """What a checkpoint of the run as it is now holds."""
        return {
            "state": self._state(),
            "progress": self.tally.state_dict(),
            "audit": self.audit.state_dict(),
            "tracker": self.tracker.state_dict(),
            **({"begun_with": self.begun_with} if self.begun_with else {}),
            **files.origin(self.prepared),
        }

    def _state(self) -> dict[str, Any]:
        return checkpoint.plain_numbers(self.state.state_dict())

    def _finished(self) -> None:
        """Close the files and tell the result."""
        self.tracker.close("success")
        self.beside.close("finished")
        self._warn_of_refusal()
        if self.recorder is not None:
            self.recorder.close()
        self.write_summary("finished")
        self.display.say(
            *ending.stopped_early_lines(self.state, self.prepared),
            result_line(self.tally, self.state.step, self.prepared.trainer.monitor, ending.used(self.state)),
            *averaged.said_of_decay(self.state.average, self.prepared.plan, self.tally, self.state.step),
        )

    def _stopped(self) -> None:
        """Close the files of a run that a signal ended after it was saved, and tell how to go on."""
        self.tracker.close()
        self.beside.close("interrupted")
        self.write_summary("interrupted")
        self.display.say(
            f"stopped by {self.request.name} after update {self.state.step}, saved; to go on:", self._go_on()
        )

    def _go_on(self) -> str:
        """The command that resumes this run."""
        typed = [f"resume={self.folder}", *trust.to_type(self.prepared.config)]
        return f"{spelling.command('train')} {spelling.typed(typed)}"

    def _failed(self, error: BaseException) -> UserError | None:
        """Close the files and write down what ended the run. Returns the error to raise in place of `error`, if any."""
        # What was reached before; a second Ctrl-C means at once.
        if isinstance(error, Exception | SystemExit):
            with suppress(Exception):  # the error itself says more
                self._write_checkpoints()

        # What to tell the user.
        told = self._with_checkpoint(error) if isinstance(error, _KEEPS) else explain(error)

        # How the run ended.
        if isinstance(error, Diverged):
            status = "diverged"
        elif isinstance(error, Exception | SystemExit):
            status = "failed"
        else:
            status = "interrupted"  # by a second Ctrl-C

        # Leave that in its files.
        self.tracker.close(None if status == "interrupted" else "failure")
        self.beside.close(status)
        with suppress(disk.Refused):  # the error itself says more
            self.write_summary(status, error=in_words(told or error), complaint=complaint_of(told or error))
        return told

    def _with_checkpoint(self, error: Diverged | disk.Refused) -> UserError:
        """The error, with the checkpoint that is left of the run."""
        last = self.folder / checkpoint.LAST
        if not last.exists():
            return error
        where = f"{shlex.quote(str(last))} (update {self.prepared.rhythm.last})"
        return error.adding(f"last good checkpoint: {where}")

    def write_summary(self, status: str, **facts: Any) -> None:
        """Write summary.json."""
        prepared = self.prepared
        warnings = list(prepared.checked.warnings)
        if self.tracker.refusal:
            warnings.append(self.tracker.refusal)
        summary.write(
            self.folder,
            status=status,
            tally=self.tally,
            updates=self.state.step,
            parameters=count_parameters(self.state.model),
            device=device_name(prepared.device),
            choices=prepared.checked.choices,
            versions=summary.versions(),
            commit=repository.commit(),
            plan=prepared.plan.summary(),
            data=prepared.splits.counts,
            **summary.own_metrics(prepared.task.metrics),
            contents=prepared.checked.contents,
            warnings=warnings,
            **ending.facts(self.state, self.prepared),
            audit=self.audit.summary(prepared.scheduler.monitor, self.state.step),
            **averaged.facts(self.state.average, prepared.plan, self.state.step),
            **({"begun_with": self.begun_with} if self.begun_with else {}),
            **facts,
        )
