"""What a run leaves as it goes: its logs, its checkpoints, its summary, and what other runs may begin with.

Which files that are, and how they are opened, is said in `runs.files`.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from lrlab.config.prepare import Prepared
from lrlab.errors import UserError
from lrlab.lr.audit import Audit
from lrlab.runs import averaged, checkpoint, ending, files, summary
from lrlab.runs.beginning import Beginning, Recorder, Sharing
from lrlab.runs.beside import Beside
from lrlab.runs.describe import count_parameters, device_name
from lrlab.runs.files import Saved
from lrlab.runs.foretelling import Foretelling, Foretold
from lrlab.runs.resume import horizon_before
from lrlab.system import repository
from lrlab.training import averages
from lrlab.training.loop import Epoch, Update
from lrlab.training.metrics import is_of_average
from lrlab.training.state import TrainState


class Records:
    """What is known of a run under way, and when it is written. `say` tells the user what has to be told meanwhile."""

    def __init__(self, folder: Path, prepared: Prepared, state: TrainState, say: Callable[..., None]):
        self.folder = folder
        self.prepared = prepared
        self.state = state
        self.say = say
        self.tally = summary.Tally(prepared.task.metrics, averaged=state.average is not None)
        self.audit = Audit(prepared.plan)
        self.begun_with: dict[str, Any] | None = None  # what another run has trained of it
        self.recorder: Recorder | None = None
        self.unwritten: dict[Path, dict[str, Any]] = {}  # checkpoints of the latest and the best epoch, in memory
        self.foretold: Foretold | None = None  # how it will end, as it was last foretold
        self.foretelling = Foretelling(prepared.plan) if _foretells(prepared) else None
        self._told: tuple[Prepared, dict[str, Any]] | None = None  # what checkpoints say of a run that is so prepared
        self.refused = False  # whether the user knows that the disk takes no more points

    # The beginning

    def restore(self, contents: dict[str, Any]) -> None:
        """Go on from what a checkpoint knows."""
        self.tally.load_state_dict(contents["progress"])
        planned = horizon_before(contents, self.prepared)
        if planned != self.prepared.horizon:
            self.tally.extended_from = self.tally.extended_from or planned.passes
        self.audit.load_state_dict(contents["audit"])
        self.begun_with = contents.get("begun_with")
        if self.foretelling is not None and "forecast" in contents:
            self.foretelling.load_state_dict(contents["forecast"])

    def open(self, saved: Saved | None) -> None:
        """Open the logs, cut back to what the checkpoint knows."""
        with checkpoint.restoring(saved.path, "logs") if saved is not None else nullcontext():
            self.tracker = files.open_logs(self.folder, self.prepared, self.state, saved)
        if saved is not None:
            checkpoint.settle_best(self.folder, self.tally.best_epoch)
        self.beside = Beside(self.prepared, self.folder, self.say, resumes=saved is not None)

    def share(self, sharing: Sharing) -> None:
        """Keep what others may begin with, unless the run's own beginning is not known any more."""
        recorder = Recorder(sharing, self.prepared, self.state, self.folder)
        if not self.state.step:
            self.recorder = recorder
            return
        best = None
        if self.tally.best_epoch is not None:
            with suppress(UserError):
                best = checkpoint.load(self.folder / checkpoint.BEST)["state"]
            if best is None:
                return
        self.recorder = recorder if recorder.resume(self.state, best) else None

    def play_back(self, shared: Beginning) -> None:
        """Have the run, which has just begun, be where the other one was that trained its beginning."""
        if self.recorder is not None:
            self.recorder.begin_with(shared)
        for event in shared.played_back(self.state, self.prepared, self.prepared.task):
            if isinstance(event, Update):
                self._record_update(event)
            elif self._record_epoch(event) and event.epoch == shared.best_epoch:
                self._keep_best(self._contents(stays=True))
        self.begun_with = {"updates": shared.updates, "seconds": shared.seconds}
        self.save()

    # The way

    def update(self, update: Update) -> None:
        """Record an update."""
        self._record_update(update)
        self._foretell()
        if self.recorder is not None:
            self.recorder.update(update)
            if self.state.batch < self.prepared.horizon.steps_per_epoch:  # or else others part after the epoch
                self.recorder.leave(self.state.step, self._state)

    def _record_update(self, update: Update) -> None:
        """Record an update in the logs, and compare its LR with the plan."""
        recorded = update.applied if update.effective is None else {**update.applied, **update.effective}
        self.tracker.update(update.step, recorded, update.loss, update.position)
        self.beside.update(update.step, recorded)
        if self.foretelling is not None:
            self.foretelling.update(update.step, update.loss)
        self._warn_of_refusal()
        if warning := self.audit.check(update.step, update.applied, update.position):
            self.say(warning)

    def _foretell(self) -> None:
        """Record how the run will end, where it is time to say so, and keep it for whoever shows it."""
        found = self.foretelling.foretold(self.state.step) if self.foretelling is not None else None
        if found is not None:
            self.tracker.foretold(found.step, found.points)
            self.foretold = found

    def epoch(self, epoch: Epoch) -> None:
        """Record the means of an epoch, and save the run where that is due."""
        is_best = self._record_epoch(epoch)
        self._foretell()
        is_due = self.prepared.rhythm.due(self.state.step, ends_epoch=True)
        at_once = is_due and self.recorder is None  # before training goes on
        contents = self._contents(stays=not at_once)
        self.unwritten[checkpoint.LAST] = contents
        if is_best:
            self._keep_best(contents)
        if self.recorder is not None:
            self.recorder.epoch(epoch, contents["state"] if is_best else None)
            self.recorder.leave(self.state.step, self._state)
        if is_due:
            self.write_checkpoints()

    def _record_epoch(self, epoch: Epoch) -> bool:
        """Record the means of an epoch in the logs; returns whether it is the best so far."""
        self.tracker.epoch(epoch.epoch, epoch.step, epoch.lr, epoch.measured, epoch.seconds)
        self.beside.epoch(epoch.step, epoch.measured)
        if self.foretelling is not None:
            self.foretelling.epoch(epoch.step, epoch.measured)
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
            self.say(f"warning: {self.tracker.refusal}; training goes on, and what is missing is tried again")
            self.refused = True

    # Checkpoints

    def save(self) -> None:
        """Write last.pt of the run as it is now."""
        self.unwritten[checkpoint.LAST] = self._contents()
        self.write_checkpoints()

    def write_checkpoints(self) -> None:
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

    def _contents(self, *, stays: bool = False) -> dict[str, Any]:
        """What a checkpoint of the run as it is now holds; it `stays` so where later training must not change it."""
        tracker = self.tracker.state_dict()
        return {
            "state": self._state(stays=stays),
            "progress": self.tally.state_dict(),
            "audit": self.audit.state_dict(),
            "tracker": checkpoint.copied(tracker) if stays else tracker,
            **self._beginning(),
            **({"forecast": self.foretelling.state_dict()} if self.foretelling is not None else {}),
            **self._origin(),
        }

    def _state(self, *, stays: bool = False) -> dict[str, Any]:
        state = self.state.state_dict()
        random = state.pop("random")  # numbers without end, which nothing changes
        state = checkpoint.plain_numbers(state)
        is_row = self.prepared.trainer.form is not None  # which would be saved with all others
        return {**(checkpoint.copied(state) if stays or is_row else state), "random": random}

    def _origin(self) -> dict[str, Any]:
        """`files.origin`, which is the same until an image has to be mended."""
        if self._told is None or self._told[0] is not self.prepared:
            self._told = (self.prepared, files.origin(self.prepared))
        return self._told[1]

    def _beginning(self) -> dict[str, Any]:
        return {"begun_with": self.begun_with} if self.begun_with else {}

    # The end

    def close(self, status: str) -> None:
        """Close the logs of a run that ended with this `status`."""
        told = {"finished": "success", "interrupted": None}  # which may go on
        self.tracker.close(told.get(status, "failure"))
        self.beside.close(status)
        if status == "finished":
            self._warn_of_refusal()
            if self.recorder is not None:
                self.recorder.close()

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
            **self._beginning(),
            **({"stacked": prepared.trainer.form} if prepared.trainer.form else {}),
            **facts,
        )


def _foretells(prepared: Prepared) -> bool:
    return prepared.trainer.forecast and Foretelling.reason_against(prepared.plan) is None
