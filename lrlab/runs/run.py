"""A run from its start to its end. It builds everything from a checked config, trains, and keeps its folder in order.

What it leaves there, and when, is said in `runs.records`.
"""

import shlex
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

from lrlab.config import other_data, trust
from lrlab.config.prepare import Prepared, place_images
from lrlab.data.batches import Batches
from lrlab.data.room import Choice
from lrlab.errors import DataError, Interrupted, UserError, complaint_of, in_words
from lrlab.lr.horizon import Horizon
from lrlab.runs import assemble, averaged, beginning, checkpoint, ending, files, replay
from lrlab.runs.beginning import Sharing
from lrlab.runs.describe import division_lines, start_lines
from lrlab.runs.display import Display, View, result_line
from lrlab.runs.explain import explain
from lrlab.runs.files import Saved
from lrlab.runs.foretelling import Foretelling
from lrlab.runs.ranks import Assignment
from lrlab.runs.records import Records
from lrlab.runs.resume import require_same_run, restore
from lrlab.runs.tracking import refuse_second_run
from lrlab.system import disk, distributed, spelling
from lrlab.system.signals import Request, stop_request
from lrlab.training.divergence import Diverged, require_finite_weights
from lrlab.training.loop import Epoch, Event, Update
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
    if saved is not None and is_done(prepared, folder, saved):
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


def is_done(prepared: Prepared, folder: Path, saved: Saved) -> bool:
    """Whether nothing is left to do of the run that was `saved`, which is said. Raises UserError for another run."""
    require_same_run(saved.contents, prepared)
    if not ending.is_complete(saved.contents, prepared, folder):
        return False
    print(f"nothing to do: {ending.what_is_done(saved.contents, prepared, folder)}")
    return True


class RunUnderWay:
    """What a run under way computes with."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        saved: Saved | None,
        make_display: Callable[[Horizon], View],
        request: Request,
        *,
        sharing: Sharing | None = None,
        like: "RunUnderWay | None" = None,
    ):
        """`like` is a run on the same samples, which both read from one place."""
        if saved is None:
            refuse_second_run(folder)
        self.folder = folder
        self.request = request
        self._has_foretold = False
        self.prepared, kept = place_images(prepared)

        # What it computes with.
        self.state = assemble.build_state(self.prepared)
        if self.state.pace is not None and (repeated := self.prepared.config.get("replay")):
            self.state.pace.recorded = replay.read(Path(repeated))
        self.display = make_display(self.prepared.horizon)
        self._introduce(kept)
        self.records = Records(folder, self.prepared, self.state, self.display.say)
        if saved is not None:
            with checkpoint.restoring(saved.path, "state"):
                self.display.say(*restore(self.state, saved.contents, self.prepared))
                self.records.restore(saved.contents)

        # Its data, which takes a while, and only then its files.
        with ExitStack() as opened:
            self.train: Batches = opened.enter_context(closing(self._images(like.train if like else None, train=True)))
            self.val: Batches = opened.enter_context(closing(self._images(like.val if like else None, train=False)))
            self.records.open(saved)
            opened.pop_all()  # they stay open, until the run ends

        # What it shares with other runs.
        self.beginning = None
        if sharing is not None and not self.state.step:
            self.beginning = beginning.find(sharing, self.prepared, self.state.model)
        if sharing is not None and sharing.has_takers:
            self.records.share(sharing)

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
        if prepared.trainer.forecast and (reason := Foretelling.reason_against(prepared.plan)):
            lines.append(f"{'forecast':<9}  none, for {reason}")
        self.display.say(*lines, *(f"warning: {warning}" for warning in prepared.checked.warnings))
        if prepared.trainer.compile:
            self.display.say("compile    before the first update, which takes a minute or so")

    def _images(self, same: Batches | None, *, train: bool) -> Batches:
        if same is not None:
            return same.at(self.prepared.seed)
        return assemble.read_images(self.prepared, self.display.reading, self.request, train=train)

    def to_its_end(self) -> float | None:
        """Train to the end, to a signal or to an error. The folder is left in order whichever it is."""
        # Train. What goes wrong is written down and explained.
        try:
            self.begin()
            with self.display:
                self._train()
        except BaseException as error:
            told = self.failed(error)
            if told is None:
                raise
            raise told from error
        finally:
            self.close()
        return self.end()

    def begin(self) -> None:
        """Write down that it has begun, and take over what another run has trained of it."""
        self.records.write_summary("running")
        self.records.save()
        files.require_savable(self.folder)
        distributed.from_first(self.beginning)  # the other ranks take it over too
        if self.beginning is not None:
            done = counted(self.beginning.updates, "update")
            self.display.say(f"begins     with {done} that another run has trained")
            self.records.play_back(self.beginning)

    def close(self) -> None:
        """Let go of its samples."""
        self.train.close()
        self.val.close()

    def end(self) -> float | None:
        """Write down and say how it ended, after its last event, and return its validation loss."""
        if assemble.is_complete(self.prepared, self.state):
            self._finished()
        else:
            self._stopped()
        if self.request.number:
            raise Interrupted(self.request.number)
        return self.records.tally.val_loss

    def _train(self) -> None:
        """Train. If an image cannot be read, which shows between two updates, save what was reached before."""
        try:
            for event in assemble.events(self.prepared, self.state, self.train, self.val):
                self.take(event)
                if assemble.stop_is_agreed(event, self.request):
                    self.stop(event)
                    break
        except DataError:
            self.save_before_mending()
            raise
        except Interrupted:  # by a signal, while the next images did not come
            self._save_within_an_epoch()
        self.records.write_checkpoints()

    def take(self, event: Event) -> None:
        """The loop's body: what other frameworks do in callbacks."""
        self.display.show(event)
        before = self.records.foretold
        if isinstance(event, Update):
            self.records.update(event)
            if self.prepared.rhythm.due(self.state.step):
                self._save_within_an_epoch()
        elif isinstance(event, Epoch):
            self.records.epoch(event)
        if self.records.foretold is not before:
            self._show_foretold()

    def _show_foretold(self) -> None:
        """Show how the run will end, and say it the first time."""
        foretold = self.records.foretold
        assert foretold is not None
        if not self._has_foretold:
            self.display.say(f"forecast   {foretold.words}")
            self._has_foretold = True
        self.display.show(foretold)

    def stop(self, event: Event | None = None) -> None:
        """Save the run, which a signal ends after this `event`, or before its next one."""
        if not isinstance(event, Epoch):
            self._save_within_an_epoch()

    def save_before_mending(self) -> None:
        """Save what was reached before an image that cannot be read."""
        # The user has to replace that image before the run goes on, so its file will be another one.
        known = other_data.to_be_mended(self.prepared.checked.contents)
        self.prepared = replace(self.prepared, checked=replace(self.prepared.checked, contents=known))
        self.records.prepared = self.prepared
        with suppress(UserError, OSError):
            self._save_within_an_epoch()
            self.display.say(f"saved after update {self.state.step}; to go on once that is mended:", self._go_on())

    def _save_within_an_epoch(self) -> None:
        require_finite_weights(self.state)
        self.records.save()

    def _finished(self) -> None:
        """Close the files and tell the result."""
        self.records.close("finished")
        self.records.write_summary("finished")
        tally = self.records.tally
        self.display.say(
            *ending.stopped_early_lines(self.state, self.prepared),
            result_line(tally, self.state.step, self.prepared.trainer.monitor, ending.used(self.state)),
            *averaged.said_of_decay(self.state.average, self.prepared.plan, tally, self.state.step),
        )

    def _stopped(self) -> None:
        """Close the files of a run that a signal ended after it was saved, and tell how to go on."""
        self.records.close("interrupted")
        self.records.write_summary("interrupted")
        self.display.say(
            f"stopped by {self.request.name} after update {self.state.step}, saved; to go on:", self._go_on()
        )

    def _go_on(self) -> str:
        """The command that resumes this run."""
        typed = [f"resume={self.folder}", *trust.to_type(self.prepared.config)]
        return f"{spelling.command('train')} {spelling.typed(typed)}"

    def failed(self, error: BaseException) -> UserError | None:
        """Close the files and write down what ended the run. Returns the error to raise in place of `error`, if any."""
        # What was reached before; a second Ctrl-C means at once.
        if isinstance(error, Exception | SystemExit):
            with suppress(Exception):  # the error itself says more
                self.records.write_checkpoints()

        # What to tell the user.
        if isinstance(error, _KEEPS):
            told: UserError | None = self._with_checkpoint(error)
        else:
            told = explain(error, in_rows=self.prepared.trainer.form is not None)

        # How the run ended.
        if isinstance(error, Diverged):
            status = "diverged"
        elif isinstance(error, Exception | SystemExit):
            status = "failed"
        else:
            status = "interrupted"  # by a second Ctrl-C

        # Leave that in its files.
        self.records.close(status)
        with suppress(disk.Refused):  # the error itself says more
            self.records.write_summary(status, error=in_words(told or error), complaint=complaint_of(told or error))
        return told

    def _with_checkpoint(self, error: Diverged | disk.Refused) -> UserError:
        """The error, with the checkpoint that is left of the run."""
        last = self.folder / checkpoint.LAST
        if not last.exists():
            return error
        where = f"{shlex.quote(str(last))} (update {self.prepared.rhythm.last})"
        return error.adding(f"last good checkpoint: {where}")
