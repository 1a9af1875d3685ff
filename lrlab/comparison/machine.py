"""Comparisons, studies and noise as plain values, for `runs.machine` to write."""

from collections.abc import Sequence
from typing import Any

from lrlab.comparison import verdict
from lrlab.comparison.across import Across
from lrlab.comparison.candidates import UNKNOWN_LR, Candidate, reached
from lrlab.comparison.claims import sentence
from lrlab.comparison.contest import Contest, columns
from lrlab.comparison.contests import Comparison
from lrlab.comparison.noise import Noise
from lrlab.comparison.pairs import Pair
from lrlab.comparison.statistics import Interval
from lrlab.comparison.verdict import Finding, Judged, Study
from lrlab.comparison.written import inside


def interval(found: Interval | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"value": float(found.value), "low": float(found.low), "high": float(found.high)}


def comparison(compared: Comparison) -> dict[str, Any]:
    """What `lrlab compare` shows of runs."""
    return {
        "exploratory": True,
        "confirm": compared.confirm,
        "contests": [_contest(contest) for contest in compared.contests],
        "warnings": compared.warnings,
        "left_out": [{"run": name, "why": why} for name, why in compared.left_out],
    }


def _contest(contest: Contest) -> dict[str, Any]:
    return {
        "title": contest.title,
        "budget": contest.budget.setting,
        "epochs": contest.epochs,
        "metric": contest.metric,
        "target": contest.target,
        "reference": contest.reference,
        "candidates": [_candidate(contest, candidate) for candidate in contest.candidates],
        "pairs": [_pair(pair, contest.metric, confirmed=False) for pair in contest.pairs],
        "warnings": contest.warnings,
    }


def _candidate(contest: Contest, candidate: Candidate) -> dict[str, Any]:
    found = reached(candidate, contest.target)
    return {
        "name": candidate.name,
        "lr": candidate.known_lr,
        "seeds": [*candidate.best],
        "means": {name: interval(inside(contest.mean(candidate, name), name)) for name in columns(contest)},
        "epochs_to_target": {**(interval(found.epochs) or {}), "reached": found.reached, "seeds": found.seeds},
        "lrs": [
            {
                "lr": lr if lr != UNKNOWN_LR else None,
                "values": {str(seed): value for seed, value in candidate.values(lr).items()}
                if lr in candidate.runs
                else {},
                "failed": candidate.failed.get(lr, 0),
                "not_finished": candidate.pending.get(lr, 0),
            }
            for lr in candidate.grid
        ],
    }


def _pair(pair: Pair, metric: str, *, confirmed: bool) -> dict[str, Any]:
    return {
        "one": pair.name,
        "other": pair.other,
        "verdict": pair.verdict,
        "seeds": list(pair.seeds),
        "difference": interval(pair.difference),
        "chance_one_is_better": interval(pair.superiority),
        "seeds_that_would_tell": None if pair.more is None else list(pair.more),
        "sentence": sentence(pair, metric, confirmed=confirmed),
    }


def study(found: Study) -> dict[str, Any]:
    """What `lrlab study` found."""
    record = found.record
    return {
        "exploratory": bool(found.exploratory),
        "finished": found.is_finished,
        "command": record.command,
        "changes": list(record.changes),
        "looks": record.looks,
        "looks_at_test": verdict.looks_at_test(found),
        "protocol": vars(record.protocol),
        "design": None if record.design is None else vars(record.design),
        "candidates": [_judged(found, judged) for judged in found.candidates],
        "pairs": [_finding(found, finding) for finding in found.findings] if found.is_finished else [],
    }


def _judged(found: Study, judged: Judged) -> dict[str, Any]:
    cost = judged.tuning
    return {
        "name": judged.name,
        "mean": interval(judged.mean) if judged.values else None,
        "runs": [
            {"run": run.name, "seed": int(run.settings["seed"]), "value": value}
            for run, value in zip(judged.runs, judged.values, strict=True)
        ],
        "collapsed": judged.collapsed,
        "collapse_rate": interval(judged.rate) if judged.seeds else None,
        "tuning": {
            "lr": cost.lr,
            "lrs": cost.lrs,
            "runs": cost.runs,
            "failed": cost.failed,
            "updates": cost.updates,
            "seconds": cost.seconds,
            "means": {f"{lr:g}": value for lr, value in cost.means.items()},
            "lrs_within_5_percent": cost.nearly_as_good,
            "expected_best": cost.expected_best,
        },
        "metric": found.protocol.judged_by,
    }


def _finding(found: Study, finding: Finding) -> dict[str, Any]:
    said = _pair(finding.pair, found.protocol.judged_by, confirmed=not found.exploratory)
    return {**said, "look": finding.look, "difference_over_test_images": interval(finding.images)}


def noise(found: Sequence[Noise], metric: str, comparisons: int) -> dict[str, Any]:
    """What `lrlab noise` found."""
    return {
        "metric": metric,
        "comparisons": comparisons,
        "candidates": [_noise(one) for one in found],
    }


def _noise(one: Noise) -> dict[str, Any]:
    return {
        "name": one.name,
        "lr": one.lr,
        "values": one.values,
        "mean": interval(one.mean),
        "deviation": interval(one.deviation),
        "detectable": [{"seeds": each.seeds, "difference": interval(each.difference)} for each in one.detectable],
    }


def studies(found: Across) -> dict[str, Any]:
    """What several studies show together."""
    return {
        "exploratory": found.exploratory,
        "data_sets": found.data_sets,
        "candidates": [
            {
                "name": name,
                "ratios": dict(zip(found.data_sets, found.ratios[name], strict=True)),
                "interquartile_mean": interval(found.iqm[name]),
                "profile": dict(zip(("ratio", "share"), found.profiles[name], strict=True)),
            }
            for name in found.candidates
        ],
        "wins": [vars(wins) for wins in found.wins],
        "left_out": found.left_out,
        "same_data": found.same_data,
    }
