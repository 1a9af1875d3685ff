"""Runs that are stopped by a plan, resumed until they end, and compared with one that nothing disturbed.

A run is `python train.py` in a process of its own, which a forkserver makes: it has imported everything, so a start
takes a tenth of a second instead of several. A kill is a SIGKILL, which no process can see coming.
"""

import io
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from forked import SECONDS_TO_END, become_a_command, free_port, group_lives, server

from lrlab.runs import checkpoint
from lrlab.system import archive

# Where a process may die inside of a checkpoint's write.
WRITE_POINTS = ("half of the file", "before the sync", "before the link", "before the rename", "after the rename")
DIGITS = ("data=digits", "data.shift=1", "data.cutout=2", "model=cnn", "model.dropout=0.2", "trainer.device=cpu")
SCHEDULERS = {
    "step": ("scheduler=step", "scheduler.step_size=2"),
    "onecycle": ("scheduler=onecycle",),
    "plateau": ("scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.3"),
    "warmup_cosine": ("scheduler=warmup_cosine",),
    "cosine_bounce": ("scheduler=cosine_bounce", "scheduler.T_max=2"),
    "greedy": ("scheduler=greedy", "scheduler.patience=0", "scheduler.warmup=0"),
    "warmup_plateau": ("scheduler=warmup_plateau", "scheduler.patience=0", "scheduler.threshold=0.3"),
    "of a group": ("scheduler=step", "optimizer.groups.head.schedule=warmup_cosine", "optimizer.layer_decay=0.5"),
}


OUTPUT = "output.txt"


@dataclass(frozen=True)
class Fault:
    """Where a process kills itself: inside of its `save`-th checkpoint's write, at a point of `WRITE_POINTS`."""

    save: int
    point: str


@dataclass(frozen=True)
class Start:
    """What one process of a run is told."""

    place: Path
    arguments: list[str]
    variables: dict[str, str]
    fault: Fault | None
    broken: Callable[[], None] | None  # breaks lrlab in it first


@dataclass
class Ranks:
    """The processes of one start of a run, and what they said about how far they are."""

    processes: list[Any]
    news: list[Connection]
    output: Path

    def training(self, seconds: float = SECONDS_TO_END) -> bool:
        """Wait until the first rank trains; False where it ended, or said nothing, before that."""
        try:
            return self.news[0].poll(seconds) and self.news[0].recv() == "training"
        except EOFError:
            return False

    def wait(self, seconds: float = SECONDS_TO_END) -> list[int | None]:
        """Their exit codes, minus the signal's number where one ended it; None of those that do not end in time."""
        deadline = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        return [process.exitcode for process in self.processes]

    def send(self, number: int, rank: int | None = None) -> None:
        for own, process in enumerate(self.processes):
            if process.is_alive() and rank in (None, own):
                os.kill(process.pid, number)

    def left_behind(self) -> list[int]:
        """Processes that these started and that live on; each rank leads a group of its own."""
        found = []
        for process in self.processes:
            deadline = time.monotonic() + 10.0
            while group_lives(process.pid) and time.monotonic() < deadline:
                time.sleep(0.02)
            if group_lives(process.pid):
                found.append(process.pid)
                os.killpg(process.pid, signal.SIGKILL)
        return found


def start(
    place: Path,
    arguments: Sequence[str],
    *,
    ranks: int = 1,
    fault: Fault | None = None,
    broken: Callable[[], None] | None = None,
) -> Ranks:
    """`python train.py ARGUMENTS` in the folder `place`, by `ranks` processes; `broken` breaks lrlab in them first."""
    context = server()
    place.mkdir(parents=True, exist_ok=True)
    output, port = place / OUTPUT, free_port() if ranks > 1 else 0
    output.write_text("")
    processes, news = [], []
    for rank in range(ranks):
        here, there = context.Pipe(duplex=False)
        variables = {}
        if ranks > 1:
            variables |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1"}
            variables |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_PORT": str(port)}
        told = Start(place, list(arguments), variables, fault if rank == 0 else None, broken)
        process = context.Process(target=_train, args=(told, there))
        process.start()
        there.close()
        processes.append(process)
        news.append(here)
    return Ranks(processes, news, output)


def _train(this: Start, news: Connection) -> None:
    """What the process does."""
    become_a_command(this.variables, this.place / OUTPUT)
    os.chdir(this.place)
    from lrlab.commands import train
    from lrlab.runs import assemble

    original = assemble.events

    def events(*given: Any) -> Iterator[Any]:
        news.send("training")
        yield from original(*given)
        news.send("trained")

    assemble.events = events
    if this.broken is not None:
        this.broken()
    if this.fault is not None:
        _die_in_write(this.fault)
    sys.argv = ["train.py", *this.arguments]
    train.main()


def _die_in_write(fault: Fault) -> None:
    """Let this process kill itself where `fault` says."""
    saves, calls = 0, {"fsync": 0, "link": 0, "replace": 0}
    write = archive.write

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    class System:
        """`os`, as the checkpoints' room sees it."""

        def __getattr__(self, name: str) -> Any:
            function = getattr(os, name)
            if name not in calls or saves != fault.save:
                return function

            def counted(*given: Any) -> Any:
                calls[name] += 1
                last = name == "replace" and Path(given[1]).name != checkpoint.PREVIOUS.name
                if (name, fault.point) in (("fsync", "before the sync"), ("link", "before the link")) or (
                    last and fault.point == "before the rename"
                ):
                    die()
                done = function(*given)
                if last and fault.point == "after the rename":
                    die()
                return done

            return counted

    def write_half(file: Path, save: Callable[[Any], Any], *, meant: Path) -> None:
        del meant
        whole = io.BytesIO()
        save(whole)
        file.write_bytes(whole.getbuffer()[: len(whole.getbuffer()) // 2])
        die()

    def counted_write(*given: Any, **named: Any) -> None:
        nonlocal saves
        saves += 1
        dies = saves == fault.save and fault.point == "half of the file"
        (write_half if dies else write)(*given, **named)

    archive.write = counted_write
    archive.os = checkpoint.os = System()


# What a run left


def left(folder: Path) -> dict[str, Any]:
    """Everything that a run's folder says, but for clocks: what two equal runs must share to the last bit."""
    from support import history, points, summary

    last = checkpoint.load(folder / checkpoint.LAST)
    best = checkpoint.load(folder / checkpoint.BEST)["state"] if (folder / checkpoint.BEST).exists() else {}
    said = summary(folder)
    timed = ("seconds",)
    return {
        "state": last["state"],
        "best": {key: value for key, value in best.items() if key != "progress"},
        "progress": {key: value for key, value in last["progress"].items() if key not in timed},
        "audit": last["audit"],
        "history": history(folder),
        "points": points(folder),
        "summary": {key: said.get(key) for key in ("status", "epochs", "updates", "val_loss", "plan", "audit")},
    }


def first_difference(one: Any, other: Any, where: str = "") -> str:
    """Where two of these differ, by the first key found; empty if nowhere."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return "" if torch.equal(one, other) else where
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if one.keys() != other.keys():
            return f"{where}: {sorted(map(str, one.keys() ^ other.keys()))}"
        pairs: Any = [(f"{where}.{key}", one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return f"{where}: {len(one)} and {len(other)} of them"
        pairs = [(f"{where}[{index}]", *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    else:
        return "" if one == other else f"{where}: {one} and {other}"
    return next((found for key, a, b in pairs if (found := first_difference(a, b, key))), "")


# The plan


@dataclass
class Tally:
    """What happened to the runs of a plan."""

    runs: int = 0
    stops: int = 0  # that landed while the run trained
    inside: int = 0  # of these, while a checkpoint was written
    before: int = 0  # before it trained; not counted above
    codes: dict[int, int] = field(default_factory=dict)  # of processes that a signal asked to end
    slowest: float = 0.0  # seconds from a signal to the end
    wrong: list[str] = field(default_factory=list)  # differences from the undisturbed run, and what else went wrong


@dataclass(frozen=True)
class Case:
    """What is run, and by how many ranks."""

    name: str
    overrides: tuple[str, ...]
    ranks: int = 1


def cases(epochs: int = 4) -> list[Case]:
    """The schedulers over digits with a CNN, dropout and augmentation; checkpoints within epochs."""
    common = (*DIGITS, f"trainer.epochs={epochs}", "checkpoint.every=2st", "seed=3")
    return [Case(name, (*common, *choice)) for name, choice in SCHEDULERS.items()]


@contextmanager
def undisturbed(case: Case, place: Path) -> Iterator[tuple[dict[str, Any], float]]:
    """What the case's run leaves when nothing disturbs it, and for how many seconds it trains."""
    ranks = start(place, [*case.overrides, "hydra.run.dir=run"], ranks=case.ranks)
    began = ranks.training()
    clock = time.monotonic()
    codes = ranks.wait()
    seconds = time.monotonic() - clock
    if not began or any(codes):
        raise RuntimeError(f"{case.name}: {codes}: {ranks.output.read_text()}")
    yield left(place / "run"), seconds


@dataclass(frozen=True)
class Plan:
    """How runs are disturbed: so many `stops` that land in training, by the signal `number`.

    A share `inside` of the kills is aimed at a checkpoint's write. One of several ranks is killed; signals that ask
    reach all. `broken` applies to all but the undisturbed run.
    """

    stops: int
    seed: int = 0
    number: int = signal.SIGKILL
    inside: float = 0.2
    per_run: int = 4
    broken: Callable[[], None] | None = None


def disturb(case: Case, place: Path, plan: Plan) -> Tally:
    """Stop runs of `case` as `plan` says, go on with each until it ends, and compare it with an undisturbed one."""
    draws, tally = random.Random(f"{case.name}/{plan.seed}"), Tally()
    with undisturbed(case, place / "undisturbed") as (expected, seconds):
        while tally.stops < plan.stops and len(tally.wrong) < (1 if plan.broken else 3):
            if tally.runs > 3 * plan.stops:
                tally.wrong.append(f"{case.name}: {tally.stops} of {plan.stops} landed in {tally.runs} runs")
                break
            here = place / f"run{tally.runs}"
            try:
                _to_the_end(case, here, plan, draws, tally, mean_seconds=seconds / plan.per_run)
                found = first_difference(expected, left(here / "run"))
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            if found:
                tally.wrong.append(f"{case.name}, {here.name}: {found}")
            else:
                shutil.rmtree(here)
            tally.runs += 1
    return tally


def _to_the_end(
    case: Case, place: Path, plan: Plan, draws: random.Random, tally: Tally, *, mean_seconds: float
) -> None:
    """Start the run and go on with it until it is done, stopped `plan.per_run` times on the way."""
    folder, stops = place / "run", min(plan.stops, tally.stops + plan.per_run)
    while True:
        begun = (folder / checkpoint.LAST).exists()
        arguments = ["resume=run"] if begun else [*case.overrides, "hydra.run.dir=run"]
        kills, fault = plan.number == signal.SIGKILL, None
        if tally.stops < stops and kills and draws.random() < plan.inside:
            fault = Fault(draws.randint(2, 5), draws.choice(WRITE_POINTS))
        ranks = start(place, arguments, ranks=case.ranks, fault=fault, broken=plan.broken)
        trains = ranks.training()
        hit = False
        if trains and fault is None and tally.stops < stops:
            time.sleep(draws.uniform(0, 2 * mean_seconds))
            hit = not ranks.news[0].poll(0)  # or else it has trained to its end
            ranks.send(plan.number, draws.randrange(case.ranks) if kills else None)
        clock = time.monotonic()
        codes = ranks.wait()
        counts = (hit or (fault is not None and -signal.SIGKILL in codes)) and any(codes)
        tally.stops += counts
        _require_all_gone(ranks, codes)
        if hit:
            tally.slowest = max(tally.slowest, time.monotonic() - clock)
        if counts:
            tally.inside += fault is not None or any(place.glob("run/checkpoints/*.tmp"))
            for code in () if kills else codes:
                tally.codes[code] = tally.codes.get(code, 0) + 1
        elif not any(codes):
            return
        elif -plan.number not in codes and 128 + plan.number not in codes:
            raise RuntimeError(f"exit codes {codes}: {ranks.output.read_text()[-2000:]}")
        elif not begun and not (folder / checkpoint.LAST).exists():
            tally.before += 1
            shutil.rmtree(folder, ignore_errors=True)


def _require_all_gone(ranks: Ranks, codes: Sequence[int | None]) -> None:
    """Raise RuntimeError where a process of a run lives on."""
    if None in codes:
        ranks.send(signal.SIGKILL)
        raise RuntimeError(f"a process that does not end: {codes}: {ranks.output.read_text()[-2000:]}")
    if behind := ranks.left_behind():
        raise RuntimeError(f"processes left behind: {behind}")
