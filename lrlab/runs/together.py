"""Several runs that train in one step, from their start to their end. Each keeps its own folder in order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from lrlab.errors import DataError, Interrupted
from lrlab.runs import assemble
from lrlab.runs.run import RunUnderWay
from lrlab.system.signals import Request

Told = Callable[[RunUnderWay, float | BaseException | None], None]  # is told the validation loss, or the error


def to_their_ends(runs: Sequence[RunUnderWay], request: Request, ended: Told, rows: int) -> None:
    """Train `runs`, which are at the same update, to their ends, to a signal or to errors.

    `ended` is told how each of them ended. An error of one of them ends no other. Where the step is compiled it is for
    so many `rows`.
    """
    team = _Team(runs, request, ended)
    try:
        with ExitStack() as shown:
            for run in runs:
                shown.enter_context(run.display)
                with team.guarding(run):
                    run.begin()
            team.train(rows)
        for run in list(team.under_way):
            with team.guarding(run):
                run.records.write_checkpoints()
    except BaseException as error:  # of the step that all of them make, or a second Ctrl-C
        for run in list(team.under_way):
            team.fail(run, error)
        if not isinstance(error, Exception):
            raise
    finally:
        for run in runs:
            run.close()
    for run in list(team.under_way):
        with team.guarding(run):
            ended(run, run.end())


class _Team:
    """The runs that are still under way."""

    def __init__(self, runs: Sequence[RunUnderWay], request: Request, ended: Told):
        self.under_way = list(runs)
        self.request = request
        self.ended = ended
        for run in runs:
            run.prepared.rhythm.beside = len(runs)

    def train(self, rows: int) -> None:
        """Train those that are under way, until none is or their last epoch is complete."""
        if not self.under_way:
            return
        lanes = {assemble.lane(run.prepared, run.state, run.train, run.val): run for run in self.under_way}
        try:
            for lane, event in assemble.together(self.under_way[0].prepared, list(lanes), rows):
                run = lanes[lane]
                with self.guarding(run):
                    if isinstance(event, DataError):
                        run.save_before_mending()
                    if isinstance(event, Exception):
                        raise event
                    run.take(event)
                    if self.request.number:  # the others follow at their next events, when their states are whole
                        run.stop(event)
                        lane.has_left = True
                lane.has_left = lane.has_left or run not in self.under_way
        except Interrupted:  # by a signal, while the next images did not come
            for run in list(self.under_way):
                with self.guarding(run):
                    run.records.save()

    @contextmanager
    def guarding(self, run: RunUnderWay) -> Iterator[None]:
        """In this block an error ends that run alone."""
        try:
            yield
        except Interrupted as error:  # it is saved
            self.under_way.remove(run)
            self.ended(run, error)
        except Exception as error:
            self.fail(run, error)

    def fail(self, run: RunUnderWay, error: BaseException) -> None:
        """Leave the folder of a run in order that an error ended."""
        self.under_way.remove(run)
        self.ended(run, run.failed(error) or error)
