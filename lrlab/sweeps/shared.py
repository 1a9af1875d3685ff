"""What the runs of a sweep share: the tree of their beginnings, and the order in which it is trained."""

import enum
import hashlib
import heapq
import itertools
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from lrlab.config.prepare import Checked
from lrlab.lr.controls import Controls
from lrlab.runs import beginning
from lrlab.runs.beginning import Sharing
from lrlab.runs.led import FEWEST, file_of, may_be_led
from lrlab.sweeps.job import Job, Outcome, Seen, Stack
from lrlab.sweeps.plan import Planned

FOLDER = ".beginnings"  # in the sweep's folder; TensorBoard and the commands pass it by
_SECONDS_BETWEEN_LOOKS = 0.02
_SESSION = uuid.uuid4().hex


def share(planned: Planned, session: str = _SESSION) -> Planned:
    """The same plan; each of its runs that are to do is told what it shares with others, or with earlier ones.

    Runs that were begun go on from where they are. `session` is a text of this process: runs whose data is known only
    by its place, where it may change, share nothing with those of another one.
    """
    jobs = planned.to_do
    alike: dict[str, list[int]] = {}
    for index, job in enumerate(jobs):
        text = salt(job.checked, session) if job.stack is None else None
        if text is not None:
            alike.setdefault(text, []).append(index)

    place = planned.folder.absolute() / FOLDER
    kept = beginning.kept_in(place)
    begun = {job.folder for job in planned.begun}
    shared = {job.name: job for job in jobs}
    for text, indices in alike.items():
        if len(indices) > 1 or kept:
            tree = _Tree([jobs[index] for index in indices], Sharing(place, text, len(jobs)), kept, begun)
            shared |= {job.name: job for job in tree.shared()}
    return replace(planned, jobs=[shared.get(job.name, job) for job in planned.jobs])


def salt(checked: Checked, session: str = _SESSION) -> str | None:
    """The same text for runs that may share what they have in common; None for one that shares nothing."""
    text = beginning.alike(checked)
    if text is None:
        return None
    text += "" if checked.knows_its_data else f"\n{session}"
    return hashlib.sha256(text.encode()).hexdigest()


class _Tree:
    """Runs that differ only in their schedules: where each parts from one before it."""

    def __init__(self, jobs: Sequence[Job], sharing: Sharing, kept: Mapping[int, Set[str]], begun: Set[Path]):
        self.jobs = jobs
        self.sharing = sharing
        self.begins_at = [0] * len(jobs)
        self.trunk: list[int | None] = [None] * len(jobs)
        self.forks: list[set[int]] = [set() for _ in jobs]
        self.led: list[list[int]] = [[] for _ in jobs]  # those that part from a run where a metric will say so
        self.file_when_led: dict[int, Path] = {}  # by run
        self.controls = [Controls.of(job.checked.plan) for job in jobs]
        lengths = [min(len(one), job.updates - 1) for one, job in zip(self.controls, jobs, strict=True)]

        # Neighbours in this order share most, so a run parts from the one before it, or from that one's trunk.
        order = sorted(range(len(jobs)), key=lambda index: self.controls[index].order)
        for before, index in zip([None, *order], order, strict=False):
            if jobs[index].folder in begun:
                continue
            if before is not None:
                common = self.controls[before].shared_with(self.controls[index])
                self._part(index, before, min(common, lengths[before], lengths[index]))

            # What an earlier start of the sweep has left may reach further.
            files = sharing.files(self.controls[index], [count for count in kept if count <= lengths[index]])
            there = [count for count, file in files.items() if file.name in kept[count]]
            if there and max(there) >= max(self.begins_at[index], FEWEST):
                self._join(index, None, max(there))
        self._lead(kept, begun)

    def _lead(self, kept: Mapping[int, Set[str]], begun: Set[Path]) -> None:
        """Have those whose LR follows a metric from the start be led by one that has the same base LR.

        Which of them keeps that LR for longest nobody knows; the most patient one may. The others wait for it.
        """
        groups: dict[object, list[int]] = {}
        for index, job in enumerate(self.jobs):
            if job.folder not in begun and may_be_led(job.checked):
                groups.setdefault(job.checked.config["optimizer"].get("lr"), []).append(index)
        for lr, indices in groups.items():
            leader = self._leader(lr, begun)
            for index in sorted(indices, key=self._patience, reverse=True):
                self.file_when_led[index] = self.sharing.folder / file_of(self.jobs[index].checked, self.sharing.salt)
                if self.file_when_led[index].name in kept.get(0, ()):  # an earlier start has left it
                    continue
                if leader is None:
                    leader = index
                    del self.file_when_led[index]
                else:
                    self.trunk[index] = leader
                    self.led[leader].append(index)

    def _patience(self, index: int) -> tuple[float, int]:
        """How long a run may keep its LR: by its scheduler's setting, and by its length."""
        patience = self.jobs[index].checked.config["scheduler"].get("patience")
        return patience if isinstance(patience, int | float) else 0, self.jobs[index].updates

    def _leader(self, lr: object, begun: Set[Path]) -> int | None:
        """The run with a planned LR that stays at this base LR for longest; None where none stays there for long."""
        longest, found = FEWEST - 1, None
        for index, (job, controls) in enumerate(zip(self.jobs, self.controls, strict=True)):
            stays = int(controls.starts[1]) if len(controls.starts) > 1 else controls.updates
            is_at_start = not self.begins_at[index] and job.folder not in begun
            is_at_base = lr == job.checked.config["optimizer"].get("lr") == job.checked.plan.at(0)
            if is_at_start and is_at_base and stays > longest:
                longest, found = stays, index
        return found

    def _part(self, index: int, before: int, common: int) -> None:
        """Have a run begin with `common` updates of that run `before` it, or of the one that trains them."""
        if common < FEWEST:
            return
        trunk: int | None = before
        while trunk is not None and self.begins_at[trunk] >= common:
            trunk = self.trunk[trunk]
        if trunk is not None:  # or else those updates were trained by an earlier start, which left them nowhere
            self._join(index, trunk, common)

    def _join(self, index: int, trunk: int | None, updates: int) -> None:
        self.begins_at[index], self.trunk[index] = updates, trunk

    def shared(self) -> list[Job]:
        """The runs, each with what it shares."""
        for index, trunk in enumerate(self.trunk):
            if trunk is not None and index not in self.file_when_led:
                self.forks[trunk].add(self.begins_at[index])
        return [self._with_its_share(index) for index in range(len(self.jobs))]

    def _with_its_share(self, index: int) -> Job:
        job, trunk, begins_at = self.jobs[index], self.trunk[index], self.begins_at[index]
        forks = tuple(sorted(self.forks[index]))
        led = tuple(self.jobs[one].checked for one in self.led[index])
        file = self.file_when_led.get(index)
        is_led = file is not None
        if not (begins_at or forks or led or is_led):
            return job
        if trunk is not None and not is_led:
            file = self.sharing.files(self.controls[index], [begins_at])[begins_at]
        name = self.jobs[trunk].name if trunk is not None else ""
        own = replace(self.sharing, begins_at=begins_at, trunk=name, beginning=file, is_led=is_led)
        return replace(job, sharing=replace(own, forks=forks, led=led))


def saved_updates(jobs: Sequence[Job]) -> int:
    """How many updates need not be trained, for another run trains them."""
    return sum(job.sharing.begins_at for job in jobs if job.sharing is not None)


class _Rank(enum.IntEnum):
    """What is handed out before what."""

    AT_ONCE = 1  # what was killed and goes on
    WAITED_FOR = 2
    OTHER = 3


def _length(unit: Job | Stack) -> float:
    """How long it trains: in updates, which those of one step make together, or in seconds where these are given."""
    begins_at = unit.sharing.begins_at if unit.sharing is not None else 0
    budgets = [job.budget_seconds for job in unit.jobs if job.budget_seconds is not None]
    return max(budgets, default=max(job.updates for job in unit.jobs) - begins_at)


class Order:
    """Hands out the runs of a sweep: those first that others wait for, and none before its beginning is there.

    Of the others the longest comes first, so that no process ends with a long one while the rest have nothing to do
    (Graham, Bounds on multiprocessing timing anomalies, 1969); of equals that which was typed first. Where its trunk
    ends without having left it, or has passed it, the run trains its beginning itself.
    """

    def __init__(self, jobs: Sequence[Job | Stack], retries: int = 0, *, longest_first: bool = True):
        self.retries = retries
        self.longest_first = longest_first  # where one process trains all, they come as they were typed
        self.changed = threading.Condition()
        self.running: set[str] = set()
        self.steps: dict[str, int] = {}  # that trunks have reported
        names = {job.name for job in jobs}
        self.waiting: dict[str, list[tuple[Sharing, Job]]] = {}  # by trunk, from its first fork on
        free: list[Job | Stack] = []
        self._ready: list[tuple[_Rank, float, int, Job | Stack]] = []  # a heap
        self._count = itertools.count()
        for job in jobs:
            if isinstance(job, Job) and job.sharing is not None and job.sharing.trunk in names:
                self.waiting.setdefault(job.sharing.trunk, []).append((job.sharing, job))
            else:
                free.append(job)
        for several in self.waiting.values():
            several.sort(key=lambda one: one[0].begins_at)
        for one in free:
            self._let_begin(one)

    def next(self, stopping: Callable[[], bool] = lambda: False) -> Job | Stack | None:
        """The next run, as soon as there is one that can begin; None once there is none left, or when `stopping()`."""
        with self.changed:
            while not stopping():
                if (job := self.next_now()) is not None:
                    return job
                if not self.waiting:
                    break
                self.changed.wait(_SECONDS_BETWEEN_LOOKS)
        return None

    def next_now(self) -> Job | Stack | None:
        """The next run, if there is one that can begin now."""
        with self.changed:
            self._look()
            if not self._ready:
                return None
            *_, job = heapq.heappop(self._ready)
            self.running.add(job.name)
            return job

    def _look(self) -> None:
        """Let those begin whose beginning is there now."""
        for trunk in self.running & self.waiting.keys():
            several = self.waiting[trunk]
            for one in [one for one in several if self._is_ready(one[0])]:
                several.remove(one)
                self._let_begin(one[1])
            if not several:
                del self.waiting[trunk]

    def _is_ready(self, sharing: Sharing) -> bool:
        # Asked first, for a trunk leaves a beginning before it goes on.
        has_passed = not sharing.is_led and self.steps.get(sharing.trunk, 0) > sharing.begins_at
        return has_passed or sharing.beginning is None or beginning.is_there(sharing.beginning)

    def _let_begin(self, job: Job | Stack, rank: "_Rank | None" = None) -> None:
        """In its turn: before others if there are some that wait for it, and then by what there is to train."""
        rank = rank or (_Rank.WAITED_FOR if job.name in self.waiting else _Rank.OTHER)
        length = _length(job) if self.longest_first else 0.0
        heapq.heappush(self._ready, (rank, -length, next(self._count), job))

    def seen(self, job: Job, report: Seen) -> None:
        if job.name in self.waiting:
            self.steps[job.name] = report.step

    def _restarted(self, job: Job, outcome: Outcome) -> Job | None:
        """The run as it goes on from its last checkpoint, where its process was killed not too often; else None.

        A machine that dies and a system that is out of memory kill processes, or ask them to end, and neither says
        anything of the run. It is the caller who knows that nobody wants the sweep to end.
        """
        if outcome.status not in ("killed", "interrupted") or job.restarts >= self.retries:
            return None
        return replace(job, restarts=job.restarts + 1)

    def carried_out(
        self,
        unit: Job | Stack,
        outcomes: Mapping[str, Outcome],
        *,
        may_go_on: bool,
        tell: Callable[[Job, Outcome], None],
    ) -> None:
        """`tell` how runs ended, by the names in `outcomes`. Those that were killed go on, where they `may_go_on`."""
        again = []
        for job in unit.jobs:
            if job.name not in outcomes:
                continue
            outcome = outcomes[job.name]
            restarted = self._restarted(job, outcome) if may_go_on else None
            if restarted is not None:
                again.append(restarted)
            tell(restarted or job, replace(outcome, goes_on=restarted is not None))
        if again:
            self._put_first(unit.only(again))
        else:
            self.ended(unit)

    def _put_first(self, unit: Job | Stack) -> None:
        """Hand this out next."""
        with self.changed:
            self._let_begin(unit, _Rank.AT_ONCE)
            self.changed.notify_all()

    def ended(self, job: Job | Stack) -> None:
        """The run has ended, however that was. Those that still wait for it train their beginnings themselves."""
        with self.changed:
            self.running.discard(job.name)
            for _, one in self.waiting.pop(job.name, []):
                self._let_begin(one)
            self.changed.notify_all()
