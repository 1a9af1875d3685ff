"""A study: every candidate is tuned, then judged on fresh seeds, and what can be claimed is claimed.

Its folder holds two ordinary sweeps, `tuning` and `judging`, and `study.json`. The same command goes on with it after
anything that stopped it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy

from lrlab.comparison import design, led, pairs, results, sequential, tuning, verdict
from lrlab.comparison.design import JUDGING, TUNING, Design, Following, Protocol, Record, SeededRun
from lrlab.comparison.pairs import Test
from lrlab.config import trust
from lrlab.errors import Interrupted, UserError, wrong
from lrlab.runs import summary, testing
from lrlab.sweeps import plan, portion
from lrlab.sweeps.job import Job
from lrlab.sweeps.study_request import StudyRequest, protocol_of
from lrlab.sweeps.tuner import Tried, Tuning
from lrlab.system import lock
from lrlab.training.metrics import METRICS
from lrlab.words import counted

_CORRELATED = 0.5  # of two candidates' tuning runs on the same seeds, from which on pairing is worth its seeds
_FEWEST_COMMON = 5  # seeds that tell a correlation


def carry_out(request: StudyRequest) -> verdict.Study:
    """Carry the study out, or what is left of it, and return what it found.

    Raises UserError for a protocol that can claim nothing, for one that was changed after a look, and where runs did
    not end. Raises Interrupted where a signal stopped it, with everything saved.
    """
    record = _record(request)
    request.folder.mkdir(parents=True, exist_ok=True)
    with lock.held(request.folder, what="studying"):
        try:
            record.write(request.folder)
            _tell_led(record.protocol)
            record = _tune(request, record)
            record = _designed(request, record)
            return _judge(request, record)
        except Interrupted:
            print("stopped; what was under way is saved. To go on:", f"  {request.again}", sep="\n")
            raise


def _tell_led(protocol: Protocol) -> None:
    """Say which tuning runs are saved."""
    following = protocol.led
    if following is None:
        return
    planned = sum(map(protocol.tuning_of, protocol.candidates))
    whole = protocol.tuning * len(protocol.candidates)
    print(
        f"predict    LRs of {counted(len(following.ratios), 'candidate')} follow from those of {following.leader}: "
        f"{planned} tuning runs instead of {whole}, {whole - planned} are saved"
    )


def _record(request: StudyRequest) -> Record:
    """The study's record: a new one, or the one that is there with what may be changed of it."""
    protocol = protocol_of(request)
    if not design.is_study(request.folder):
        if request.folder.exists() and any(request.folder.iterdir()):
            got = f"{request.folder}, which holds other files"
            raise wrong("study", got=got, allowed="a new folder, or a study's", do="another name")
        return Record(request.again, protocol)
    before = _as_it_was_written(request.folder, design.read(request.folder))
    changed = _changed(before.protocol, protocol)
    if not changed:
        return replace(before, command=request.again)
    began = before.tuning or before.judging
    if began and (others := _other_runs(before.protocol, protocol)):
        raise wrong(
            "study",
            got=f"runs with another {others} than those of {request.folder}",
            allowed="the command that began it",
            do="another name for a new study",
        )
    if not before.looks and before.design is None:  # nobody has seen a judging run
        print(f"changed    {changed}")
        return replace(before, command=request.again, protocol=protocol)
    if not request.settings.change:
        raise wrong(
            "study",
            got=f"another protocol than that of {request.folder} ({changed}), after {counted(before.looks, 'look')}",
            allowed="the command that began it",
            do="study.change=true, which makes this one exploratory; a new name would judge with the same seeds again",
        )
    told = f"{changed}, after {counted(before.looks, 'look')}"
    return replace(before, command=request.again, protocol=protocol, design=None, changes=(*before.changes, told))


def _as_it_was_written(folder: Path, record: Record) -> Record:
    """The record, with a word where its file was changed by hand after judging began."""
    written = summary.read(folder / JUDGING, results.SWEEP).get("design")
    if written is None or written == record.fingerprint or record.changes:
        return record
    return replace(record, changes=(f"study.json by hand, after {counted(record.looks, 'look')}",))


def _other_runs(before: Protocol, now: Protocol) -> str:
    """What of two protocols makes their runs other ones, in words; empty where nothing does."""
    said = [f"number of epochs ({now.epochs} and not {before.epochs})"] if before.epochs != now.epochs else []
    said += ["split"] if before.split != now.split else []
    if said:  # which are settings of the runs too
        return " and ".join(said)
    common = before.candidates.keys() & now.candidates.keys()
    return "setting" if any(before.candidates[name] != now.candidates[name] for name in common) else ""


def _changed(before: Protocol, now: Protocol) -> str:
    """What is another one in two protocols, in words; empty where nothing is."""
    said = []
    for name in vars(now):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            is_long = any(isinstance(one, dict | Following) for one in (old, new))
            said.append(name if is_long else f"{name} {new} and not {old}")
    return ", ".join(said)


def _tune(request: StudyRequest, record: Record) -> Record:
    """Spend the tuning runs of every candidate; the record with all of them."""
    while True:
        jobs = {name: _begun(request, record, name) for name in request.candidates}
        if not any(jobs.values()):  # every run that was planned has ended, so the next ones can be planned
            for name in request.candidates:
                runs = _next_runs(request, record, name)
                jobs[name] = [(lr, seed, request.job(name, lr, seed, TUNING)) for lr, seed in runs]
        if not any(jobs.values()):
            return record
        record = replace(record, tuning=_with(record.tuning, jobs, request.folder / TUNING))
        record.write(request.folder)
        done = sum(len(_tried(request, record, name)) for name in request.candidates)
        print(f"tuning     {done} of {sum(map(record.protocol.tuning_of, jobs))} runs are done")
        _train(request, _jobs(jobs), TUNING, {})
        if done == sum(len(_tried(request, record, name)) for name in request.candidates):
            raise _no_progress(request, TUNING)


def _begun(request: StudyRequest, record: Record, name: str) -> list[tuple[float, int, Job]]:
    """The tuning runs of a candidate that were planned and have not ended, because the study was stopped."""
    ended = {(run.lr, run.seed) for run, _ in tuning.tried(request.folder, record, name)}
    left = [run for run in record.tuning.get(name, []) if (run.lr, run.seed) not in ended]
    return [(run.lr, run.seed, request.job(name, run.lr, run.seed, TUNING)) for run in left]


def _no_progress(request: StudyRequest, sweep: str) -> UserError:
    """The error where runs are over and still tell nothing: their files were changed, or cannot be read."""
    return wrong(
        str(request.folder / sweep),
        got="runs that have ended and do not say how",
        allowed="the files as the runs left them",
        do=f"remove the folders of those runs, and go on: {request.again}",
    )


def _next_runs(request: StudyRequest, record: Record, name: str) -> list[tuple[float, int]]:
    """The LRs and seeds that come next of a candidate; one that is led waits until its leader is tuned."""
    following = record.protocol.led
    if following is None or name not in following.ratios:
        return _tuning(record.protocol, record.protocol.grids[name], name).next_runs(_tried(request, record, name))
    tuned = _tried(request, record, following.leader)
    leader = _tuning(record.protocol, record.protocol.grids[following.leader], following.leader)
    if len(tuned) < leader.runs or record.design is not None:  # which has decided on the LRs
        return []
    of_leader = tuning.tried(request.folder, record, following.leader)
    lr = tuning.following_lr(record.protocol, of_leader, leader.best_lr(tuned), name)
    ended = {(one.lr, one.seed): one.value for one in _tried(request, record, name)}
    return led.next_runs(lr, following.probes, ended)


def _tuning(protocol: Protocol, grid: Sequence[float], name: str) -> Tuning:
    metric = METRICS[protocol.metric]
    return Tuning(
        grid=tuple(grid),
        runs=protocol.tuning_of(name),
        lower_is_better=metric.lower_is_better,
        are_shares=metric.is_share,
    )


def _tried(request: StudyRequest, record: Record, name: str) -> list[Tried]:
    ended = tuning.tried(request.folder, record, name)
    return [Tried(run.lr, run.seed, value) for run, value in ended]


def _with(
    runs: design.SeededRuns, jobs: Mapping[str, Sequence[tuple[float, int, Job]]], folder: Path
) -> design.SeededRuns:
    """The runs of a sweep, with those that are about to be carried out."""
    found = {name: list(own) for name, own in runs.items()}
    for name, planned in jobs.items():
        own = found.setdefault(name, [])
        for lr, seed, job in planned:
            run = SeededRun(lr, seed, str(job.folder.relative_to(folder)))
            if run not in own:
                own.append(run)
    return found


def _jobs(jobs: Mapping[str, Sequence[tuple[float, int, Job]]]) -> list[Job]:
    """The jobs of all candidates."""
    return [job for _, _, job in chain.from_iterable(jobs.values())]


def _train(request: StudyRequest, jobs: Sequence[Job], sweep: str, facts: Mapping[str, Any]) -> None:
    """Carry out runs of one of the two sweeps. Raises UserError where one of them did not end."""
    folder = request.folder / sweep
    outcomes = portion.carry_out(jobs, folder, request.launcher, again=request.again, facts=facts)
    counts = ("finished", "diverged", "failed") if sweep == TUNING else ("finished", "diverged")
    lost = [f"{name} {outcome.status}" for name, outcome in outcomes.items() if outcome.status not in counts]
    if lost:
        raise wrong(
            str(request.folder),
            got=f"{counted(len(lost), 'run')} that did not end ({plan.some(lost)})",
            allowed="runs that finish, or diverge",
            do=f"mend the cause, and go on: {request.again}",
        )


def _designed(request: StudyRequest, record: Record) -> Record:
    """The record with its design, which the tuning runs decide; it is written before the first judging run."""
    if record.design is not None:
        return record
    protocol = record.protocol
    tuned = tuning.read(request.folder, record)
    lrs = {name: cost.lr for name, cost in tuned.items() if cost.lr is not None}
    if len(lrs) < 2:
        lost = ", ".join(name for name in tuned if name not in lrs)
        raise wrong(
            "study",
            got=f"candidates of which no tuning run finished ({lost})",
            allowed="at least two that can be trained",
            do="lower optimizer.lr, or look into their train.log",
        )
    test, why = _test(request, record, lrs)
    thresholds = {name: _threshold(request, record, name, tuned[name]) for name in lrs}
    at = tuple(protocol.looks)
    decided = Design(
        lrs=lrs,
        seeds=design.seeds_of([*lrs], protocol.maximum, test),
        test=test,
        why=why,
        levels=list(sequential.levels(at, pairs.count(len(lrs)), test)),
        row_levels=list(sequential.levels(at, len(lrs), "paired", sequential.SPENDING_ON_MEANS)),
        collapsed={name: value for name, value in thresholds.items() if value is not None},
    )
    record = replace(record, design=decided)
    record.write(request.folder)
    chosen = ", ".join(f"{name} {lr:g}" for name, lr in lrs.items())
    print(f"design     base LRs: {chosen}; judged by {protocol.judged_by.replace('_', ' ')}, {test} ({why})")
    return record


def _test(request: StudyRequest, record: Record, lrs: Mapping[str, float]) -> tuple[Test, str]:
    """The test, decided by the tuning runs alone: paired only where common seeds are worth it."""
    if record.protocol.test != "auto":
        return record.protocol.test, "as declared"  # type: ignore[return-value]
    values = {}
    for name, lr in lrs.items():
        tried = _tried(request, record, name)
        values[name] = {one.seed: one.value for one in tried if one.lr == lr and one.value is not None}
    common = sorted(set.intersection(*(set(by_seed) for by_seed in values.values())))
    if len(common) < _FEWEST_COMMON:
        return "welch", f"fewer than {_FEWEST_COMMON} common tuning seeds"
    table = numpy.array([[by_seed[seed] for seed in common] for by_seed in values.values()])
    if not (table.std(axis=1) > 0).all():
        return "welch", "tuning runs do not vary"
    least = float(numpy.corrcoef(table).min())
    return ("paired" if least >= _CORRELATED else "welch"), f"tuning runs correlate by {least:.2f} or more"


def _threshold(request: StudyRequest, record: Record, name: str, cost: tuning.TuningCost) -> float | None:
    """Beyond which value a judging run of a candidate counts as collapsed."""
    assert cost.lr is not None
    run = next(run for run in record.tuning[name] if run.lr == cost.lr)
    classes = summary.read(request.folder / TUNING / run.folder).get("data", {}).get("classes")
    return design.collapse_threshold(record.protocol.metric, cost.means[cost.lr], classes)


def _judge(request: StudyRequest, record: Record) -> verdict.Study:
    """Judge look by look, until every pair is decided or the last look is done."""
    before: list[verdict.Judged] | None = None
    while True:
        found = verdict.read(request.folder)
        made = max(one.look for one in found.candidates)
        if made > record.looks:
            record = replace(record, looks=made)
            record.write(request.folder)
            found = replace(found, record=record)
        if found.is_finished:
            return found
        if found.candidates == before:
            raise _no_progress(request, JUDGING)
        before = found.candidates
        assert record.design is not None
        look = min(one.look for one in found.candidates if one.name in found.wanting)
        seeds = record.protocol.looks[look]
        jobs = {}
        for name in found.wanting:
            lr = record.design.lrs[name]
            jobs[name] = [
                (lr, seed, request.job(name, lr, seed, JUDGING)) for seed in record.design.seeds[name][:seeds]
            ]
        record = replace(record, judging=_with(record.judging, jobs, request.folder / JUDGING))
        record.write(request.folder)
        undecided = counted(len(found.undecided), "pair")
        print(f"judging    look {look + 1} of {len(record.protocol.looks)}: {seeds} seeds, {undecided} to decide")
        wanted = _jobs(jobs)
        _train(request, [job for job in wanted if not _has_ended(job)], JUDGING, {"design": record.fingerprint})
        _measure(request, record, wanted)


def _has_ended(job: Job) -> bool:
    """Whether a judging run is over: whoever diverged once does so again."""
    return summary.read(job.folder).get("status") in ("finished", "diverged")


def _measure(request: StudyRequest, record: Record, jobs: Sequence[Job]) -> None:
    """Look at the test images of the runs that have finished, once."""
    if not record.protocol.has_test:
        return
    for job in jobs:
        run = results.read_result(job.folder, job.name)
        if run.status == "finished" and not verdict.has_ended(record.protocol, run):
            testing.score(job.folder, [*trust.to_type(job.config), *request.where])
