"""A comparison of runs: which can be compared with which, and what that shows.

Runs are compared within a *contest*: the same data, model and number of epochs.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lrlab.comparison import claims
from lrlab.comparison.candidates import Candidate, extended, gather, names_of
from lrlab.comparison.claims import Against
from lrlab.comparison.results import GROUPS, Result, differing, is_number, printable
from lrlab.config import other_data
from lrlab.config.identity import fingerprint
from lrlab.errors import closest, wrong
from lrlab.training.metrics import JUDGE, Metric, find, known, lower_is_better, measured_names
from lrlab.words import counted

_SHARED = ("data.", "model.", "task._target_")  # settings that all runs of a contest have alike


@dataclass(frozen=True)
class Contest:
    """Candidates that can be compared, best first."""

    title: str
    metric: str
    epochs: int
    candidates: list[Candidate]
    reference: str
    target: float
    against: list[Against]
    warnings: list[str]


@dataclass
class Comparison:
    """Everything that a set of runs says."""

    contests: list[Contest]
    left_out: list[tuple[str, str]] = field(default_factory=list)  # run, why
    differences: dict[str, list[Any]] = field(default_factory=dict)


def compare(
    results: Sequence[Result],
    *,
    metric: str = JUDGE,
    reference: str | None = None,
    target: float | None = None,
) -> Comparison:
    """Compare `results` by `metric`; differences are taken to `reference`, by default `constant` or the first name.

    `target` is the value of the validation metric to which epochs are counted; by default the one that the mean of
    every candidate reaches. Raises UserError where nothing can be compared.
    """
    comparison = Comparison([])
    usable = _usable(results, metric, comparison.left_out)
    if not usable:
        why = Counter(reason for _, reason in comparison.left_out).most_common(1)
        raise wrong(
            "compare",
            got=f"{counted(len(results), 'run')} of which none is finished" + (f" ({why[0][0]})" if why else ""),
            allowed="at least one finished run",
            do="start them again with the command that began them",
        )
    choices = {group: list(dict.fromkeys(result.choice(group) for result in usable)) for group in GROUPS}
    comparison.differences = {group: names for group, names in choices.items() if len(names) > 1} | differing(usable)
    known = {fingerprint(result.settings) for result in usable}
    unfinished = [
        result
        for result in results
        if result.status != "finished"
        and _task(result) == _task(usable[0])
        and fingerprint(result.settings) not in known  # or else it was run again elsewhere
    ]
    budgets = sorted({int(result.settings["trainer.epochs"]) for result in usable})
    for epochs in budgets:
        own = [result for result in usable if result.settings["trainer.epochs"] == epochs]
        lost = [result for result in unfinished if result.settings.get("trainer.epochs") == epochs]
        comparison.contests.append(
            _contest(own, lost, epochs=epochs, metric=metric, reference=reference, target=target)
        )
    if reference is not None and all(contest.reference != reference for contest in comparison.contests):
        names = sorted({candidate.name for contest in comparison.contests for candidate in contest.candidates})
        guess = closest(reference, names)
        raise wrong(
            "compare.reference",
            got=f"'{reference}'",
            allowed=", ".join(names),
            do=f"compare.reference={guess or names[0]}",
        )
    return comparison


def _task(result: Result) -> list[tuple[str, str]]:
    """What two runs must share to be compared at all: data, model and what is learned."""
    return [(key, repr(value)) for key, value in result.settings.items() if key.startswith(_SHARED)]


def _usable(results: Sequence[Result], metric: str, left_out: list[tuple[str, str]]) -> list[Result]:
    """The finished runs of one task, each once; the others are noted in `left_out` with the reason."""
    finished = []
    for result in results:
        if result.status != "finished":
            left_out.append((result.name, _why_unfinished(result)))
        elif result.history and find(metric) not in result.metrics:
            left_out.append((result.name, f"its task does not measure {find(metric).name}"))
        elif lacking := _lacking(result):
            left_out.append((result.name, f"its files are missing or damaged (no {lacking})"))
        else:
            finished.append(result)
    tasks = Counter(str(_task(result)) for result in finished)
    usable: dict[str, Result] = {}
    for result in finished:
        most = tasks.most_common(1)[0][0]
        if str(_task(result)) != most:
            model = next(one for one in finished if str(_task(one)) == most)
            keys = [key for key in differing([result, model]) if key.startswith(_SHARED)]
            shown = ", ".join(f"{key}={result.settings.get(key)}" for key in keys[:3])
            what = "another task" if keys[0].startswith("task.") else "other data or model"
            left_out.append((result.name, f"{what}: {shown}"))
            left_out.append((result.name, f"other data or model: {shown}"))
        elif changed := _other_data(result, usable.values()):
            left_out.append((result.name, f"other data: {changed}"))
        elif (own := fingerprint(result.settings) + extended(result)) in usable:
            left_out.append((result.name, f"the same run as {usable[own].name}"))
        else:
            usable[own] = result
    return list(usable.values())


def _other_data(result: Result, others: Iterable[Result]) -> str:
    """In what the data of a run is not that of the first of `others` that remembers its own."""
    first = next((one.summary["contents"] for one in others if "contents" in one.summary), None)
    return printable(other_data.difference(first, result.summary.get("contents")))


def _lacking(result: Result) -> str | None:
    """What a finished run should have and has not."""
    needed = {"history.csv": result.history or None, "config.yaml": result.settings or None}
    needed |= {key: result.settings.get(key) for key in ("seed", "trainer.epochs")}
    needed |= {name: result.summary.get(name) for name in (*possible_metrics(result.metrics), "seconds")}
    texts = ("history.csv", "config.yaml")
    return next((name for name, value in needed.items() if not (value if name in texts else is_number(value))), None)


def _why_unfinished(result: Result) -> str:
    said = str(result.summary.get("error") or "").partition("; allowed")[0]
    reasons = {
        "running": "not finished: it still runs, or was killed",
        "not run": "not finished: it left no summary",
    }
    return reasons.get(result.status, result.status + (f": {said}" if said else ""))


def _contest(
    results: Sequence[Result],
    unfinished: Sequence[Result],
    *,
    epochs: int,
    metric: str,
    reference: str | None,
    target: float | None,
) -> Contest:
    candidates = gather(results, unfinished, metric)
    sign = 1 if lower_is_better(metric) else -1
    candidates.sort(key=lambda one: (sign * one.mean(metric).value, one.name))
    names = sorted(candidate.name for candidate in candidates)
    against_whom = reference if reference in names else "constant" if "constant" in names else names[0]
    title = f"{results[0].choice('data')}, {results[0].choice('model')}, {counted(epochs, 'epoch')}"
    return Contest(
        title=title,
        metric=metric,
        epochs=epochs,
        candidates=candidates,
        reference=against_whom,
        target=_common_target(candidates, metric) if target is None else target,
        against=claims.against(candidates, against_whom, metric),
        warnings=[*claims.warnings(candidates, against_whom), *_without_any(unfinished, results, names)],
    )


def _without_any(unfinished: Sequence[Result], results: Sequence[Result], known: Sequence[str]) -> list[str]:
    """A warning for each candidate of which no run finished."""
    names = names_of([*results, *unfinished])
    lost = Counter(names[result.name] for result in unfinished if names[result.name] not in known)
    return [f"{name}: 0 of {counted(count, 'run')} finished" for name, count in sorted(lost.items())]


def _common_target(candidates: Sequence[Candidate], metric: str) -> float:
    """The final validation metric that the mean of every candidate reaches."""
    name = f"val_{find(metric).name}"
    worst = max if lower_is_better(metric) else min
    return worst(candidate.mean(name).value for candidate in candidates)


def columns(contest: Contest) -> Mapping[str, str]:
    """The metrics that a table of the contest shows, with their headings; the one it is judged by comes first."""
    metrics = next(iter(contest.candidates[0].best.values())).metrics
    shown = [f"{split}_{metric.name}" for metric in reversed(metrics) for split in ("val", "best_val")]
    return {name: _heading(name) for name in dict.fromkeys([contest.metric, *shown, "train_loss"])}


def possible_metrics(metrics: Sequence[Metric] | None = None) -> list[str]:
    """What runs can be compared by.

    >>> possible_metrics()
    ['val_accuracy', 'val_loss', 'best_val_accuracy', 'best_val_loss', 'train_accuracy', 'train_loss']
    """
    return measured_names([*reversed(known() if metrics is None else metrics)], "val", "best_val", "train")


def _heading(name: str) -> str:
    words = name.replace("_", " ")
    return words if name.startswith("best_") else f"final {words}"
