"""Several runs that train in one step, from their start to their end. Each keeps its own folder in order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from lrlab.errors import DataError, Interrupted
from lrlab.runs import assemble
from lrlab.runs.run import RunUnderWay
from lrlab.system.signals import Request
from lrlab.training.loop import Epoch, Event

Told = Callable[[RunUnderWay, float | BaseException | None], None]  # is told the validation loss, or the error


def to_their_ends(runs: Sequence[RunUnderWay], request: Request, ended: Told) -> None:
    """Train `runs` to their ends, to a signal or to errors.

    `ended` is told how each of them ended. An error of one of them ends no other. Those that are behind catch up with
    the next ones first, for a step is one update of all.
    """
    team = UnderWay(runs, request, ended)
    try:
        with ExitStack() as shown:
            for run in runs:
                shown.enter_context(run.display)
                with team.guarding(run):
                    run.begin()
            while together := team.at_the_earliest():
                team.train(together, until=team.place_after(together))
    except BaseException as error:  # of the step that all of them make, or a second Ctrl-C
        for run in list(team.runs):
            team.fail(run, error)
        if not isinstance(error, Exception):
            raise


class UnderWay:
    """The runs that are still under way."""

    def __init__(self, runs: Sequence[RunUnderWay], request: Request, ended: Told):
        self.runs = list(runs)
        self.request = request
        self.ended = ended
        for run in runs:
            run.prepared.rhythm.share_with([other.prepared.rhythm for other in runs])

    def at_the_earliest(self) -> list[RunUnderWay]:
        """The runs that are behind, or all of them where they are at one update; none where none is left."""
        first = min(map(_place, self.runs), default=None)
        return [run for run in self.runs if _place(run) == first]

    def place_after(self, together: Sequence[RunUnderWay]) -> tuple[int, int] | None:
        """Where the next ones are; None where there are no others."""
        step, _, batch = min((_place(run) for run in self.runs if run not in together), default=(None, 0, 0))
        return None if step is None else (step, batch)

    def train(self, together: Sequence[RunUnderWay], until: tuple[int, int] | None) -> None:
        """Train these runs, until none is under way, they are at their ends, or where the next ones are."""
        lanes = {assemble.lane(run.prepared, run.state, run.train, run.val): run for run in together}
        try:
            for lane, event in assemble.together(together[0].prepared, list(lanes), until):
                run = lanes[lane]
                if run in self.runs:
                    with self.guarding(run):
                        self.take(run, event)
                lane.has_left = lane.has_left or run not in self.runs
        except Interrupted:  # by a signal, while the next images did not come
            for run in list(self.runs):
                with self.guarding(run):
                    run.stop()
        if self.request.number or until is None:  # what is left of them ends here
            for run in list(self.runs):
                self.finish(run)

    def take(self, run: RunUnderWay, event: Event | Exception) -> None:
        """What is to be done about an event of a run. Raises what ends it."""
        if isinstance(event, DataError):
            run.save_before_mending()
        if isinstance(event, Exception):
            raise event
        run.take(event)
        if self.request.number:  # the others follow at their next events, when their states are whole
            run.stop(event)
            self.finish(run)
        elif isinstance(event, Epoch) and assemble.is_complete(run.prepared, run.state):
            self.finish(run)

    def finish(self, run: RunUnderWay) -> None:
        """Write down how a run ended that is at its end, or that a signal stopped, and let it go."""
        with self.guarding(run):
            run.records.write_checkpoints()
            value = run.end()
            self.runs.remove(run)
            self.ended(run, value)

    @contextmanager
    def guarding(self, run: RunUnderWay) -> Iterator[None]:
        """In this block an error ends that run alone."""
        try:
            yield
        except Interrupted as error:  # it is saved
            self.runs.remove(run)
            self.ended(run, error)
        except Exception as error:
            self.fail(run, error)

    def fail(self, run: RunUnderWay, error: BaseException) -> None:
        """Leave the folder of a run in order that an error ended."""
        self.runs.remove(run)
        self.ended(run, run.failed(error) or error)


def _place(run: RunUnderWay) -> tuple[int, int, int]:
    """How far a run is: its updates, epochs, and updates of the epoch under way."""
    return run.state.step, run.state.epoch, run.state.batch
