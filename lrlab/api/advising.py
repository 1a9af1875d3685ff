"""`lrlab.advise`: from a task to a schedule and a base LR, by a range test, a few runs and predictions."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lrlab.api.advised import Advice, Cost
from lrlab.api.finding import range_tests, suggested
from lrlab.api.progress import SweepBar
from lrlab.api.wording import of_arguments, require_texts
from lrlab.comparison import loss_curves, results
from lrlab.config import checks
from lrlab.errors import Interrupted, wrong
from lrlab.forecast.advice import Adviser
from lrlab.forecast.evidence import Evidence, Probe, Probed
from lrlab.forecast.predictions import TrainedCurves
from lrlab.runs import machine, summary
from lrlab.runs.guest import guest
from lrlab.sweeps import portion
from lrlab.sweeps.advice_request import BUDGET, CONSTANT, FEWEST, PILOT, AdviceRequest, read_request
from lrlab.sweeps.job import Job
from lrlab.sweeps.table import Board
from lrlab.system import disk, lock
from lrlab.words import counted

FILE = "advice.json"
_TESTS = 3  # range tests, whose median is where the pilots begin
_TESTED = (40, 400)  # updates of each, at least and at most
_SHARE = 0.3  # of a run that each may take
_START, _END = 1e-6, 10.0


def advise(*overrides: str, budget: float = BUDGET, **named: Any) -> Advice:
    """Which schedule to take for a task, at which base LR: `lrlab.advise("data=digits", "model=mlp", budget=12)`.

    `overrides` say what is trained, as those of `lrlab.train`, and may restrict the choice by `"scheduler=cosine,wsd"`.
    Range tests say where to begin; pilots of cosine, where its LR is best; a law that is fitted to them and to a run
    with a constant LR, which schedules to try; further runs, which of them at which LR, and how sure that is. All of it
    costs at most `budget` runs' worth of updates. The same call goes on with what was stopped. What it says is no
    verdict: those are given by `lrlab study`.

    Raises UserError for a setting that is not allowed, and where every run diverges.
    """
    require_texts("advise", named)
    with of_arguments():
        checks.number("advise.budget", budget, low=FEWEST, example=BUDGET)
    with guest():
        return carry_out(read_request(list(overrides), float(budget)), make_board=SweepBar)


def carry_out(
    request: AdviceRequest, *, told: Callable[[str], None] = lambda _: None, make_board: Callable[..., Any] = Board
) -> Advice:
    """Train what is needed, and say what to take. `told` hears why each run is trained.

    Raises UserError where every run diverges. Raises Interrupted where a signal stopped it, with everything saved.
    """
    # Everything is planned, before anything is made or trained.
    updates = request.job(Probe(PILOT, request.lr)).updates
    shapes = request.shapes()
    _tell_left_out(request, told)
    request.folder.mkdir(parents=True, exist_ok=True)
    with lock.held(request.folder, what="advising"):
        tested = _range_test(request, updates, told)
        told(f"folder     {request.folder}")
        runs = max(int(request.budget - tested.updates / updates), _finished(request.runs))
        adviser = Adviser(shapes, tested.lr, runs)
        done: list[Probed] = []
        try:
            while (stage := adviser.next(done)) is not None:
                told(f"train      {counted(len(stage.probes), 'run')}: {stage.why}")
                done += _trained(request, stage.probes, make_board, told)
        except Interrupted:
            told(f"stopped; what was under way is saved. To go on:\n  {request.again}")
            raise
    evidence = Evidence(done)
    expected = evidence.expected()
    if expected is None:
        raise wrong(
            "advise",
            got=f"{counted(len(done), 'run')} of which every one diverged",
            allowed="a task that can be trained",
            do=f"look into {request.folder}, or clip gradients: trainer.clip_grad_norm=1",
        )
    cost = Cost(len(done), updates, tested.updates)
    found = Advice(request, expected, evidence.cells, cost)
    _write(request.folder, tested, found.facts())
    return found


@dataclass(frozen=True)
class Tested:
    """What the range tests say."""

    lr: float
    updates: int  # of all of them


def _range_test(request: AdviceRequest, updates: int, told: Callable[[str], None]) -> Tested:
    """Where to begin; what an earlier start has found, it has found."""
    before = summary.read(request.folder, FILE).get("range_test")
    if isinstance(before, dict) and all(results.is_number(before.get(name)) for name in ("lr", "updates")):
        return Tested(float(before["lr"]), int(before["updates"]))
    each = min(max(round(_SHARE * updates), _TESTED[0]), _TESTED[1])
    affordable = int((request.budget - (FEWEST - 1)) * updates / each)
    seeds = min(_TESTS, affordable)
    tests = range_tests(request.common, start=_START, end=_END, updates=each, seeds=seeds) if seeds else []
    found = [suggestion for _, _, suggestion in tests if suggestion is not None]
    lr = suggested(found) if found else request.lr
    tested = Tested(lr, sum(len(points) for _, points, _ in tests))
    silent = "say nothing" if tests else "would cost too much of the budget"
    how = f"of {counted(len(found), 'range test')}" if found else f"of the optimizer, for range tests {silent}"
    told(f"begin      at LR {lr:g} ({how}, {tested.updates:,} updates)")
    _write(request.folder, tested, {})
    return tested


def _write(folder: Path, tested: Tested, facts: Mapping[str, Any]) -> None:
    said = machine.finite({"range_test": asdict(tested), **facts})
    disk.write_whole(folder / FILE, json.dumps(said, indent=2, allow_nan=False) + "\n")


def _finished(folder: Path) -> int:
    """How many runs an earlier start has paid for, by a larger budget perhaps: they count, whatever this one is."""
    statuses = [summary.read(path.parent).get("status") for path in folder.glob(f"*/{summary.FILE}")]
    return sum(status in ("finished", "diverged") for status in statuses)


def _tell_left_out(request: AdviceRequest, told: Callable[[str], None]) -> None:
    for schedule, reason in request.left_out.items():
        if schedule in (PILOT, CONSTANT):
            raise wrong("scheduler", got=f"{schedule}: {reason}", allowed="a run that can be planned", do="mend it")
        told(f"left out   {schedule}: {reason}")


def _trained(
    request: AdviceRequest, probes: Sequence[Probe], make_board: Callable[..., Any], told: Callable[[str], None]
) -> list[Probed]:
    """Train the runs of `probes`, those that are not finished, and read what they show."""
    jobs = [request.job(probe) for probe in probes]
    waiting = [job for job in jobs if summary.read(job.folder).get("status") not in ("finished", "diverged")]

    def only_what_differs(line: str) -> None:  # from one part to the next
        if line.startswith(("warning", "stack")):
            told(line)

    outcomes = portion.carry_out(
        waiting,
        request.runs,
        request.launcher,
        again=request.again,
        facts={"advice": True},
        make_board=make_board,
        told=only_what_differs,
    )
    failed = [outcome.error for outcome in outcomes.values() if outcome.status in ("failed", "killed")]
    if failed and len(failed) == len(jobs):
        raise wrong(
            "advise",
            got=f"runs that fail: {failed[0]}",
            allowed="a run that can be trained",
            do=f"mend the cause, and go on: {request.again}",
        )
    return [Probed(probe, _curves(job)) for probe, job in zip(probes, jobs, strict=True)]


def _curves(job: Job) -> TrainedCurves | None:
    """What a run shows; None where it diverged or failed. Raises UserError for a loss that nothing can be said of."""
    result = results.read_result(job.folder, job.name)
    if result.status != "finished":
        return None
    found = loss_curves.of_run(result, job.checked.plan)
    if not found.losses:
        reasons = "; ".join(f"{split}: {reason}" for split, reason in found.missing.items())
        raise wrong(
            "advise",
            got=f"{job.folder}, of whose losses nothing can be said ({reasons})",
            allowed="a loss that is positive, measured in every epoch",
            do="another task.loss",
        )
    return found
