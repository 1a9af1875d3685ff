"""Which runs can be compared with each other, and why the others cannot."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from lrlab.comparison import equal_terms
from lrlab.comparison.budgets import budget_of
from lrlab.comparison.candidates import extended
from lrlab.comparison.results import Result, differing
from lrlab.comparison.sound import is_number
from lrlab.config import other_data
from lrlab.config.identity import SHARED, fingerprint
from lrlab.errors import UserError, wrong
from lrlab.training.metrics import find, is_of_average, possible_metrics, usual
from lrlab.words import counted, printable

STOPPED_EARLY = "stopped early"


def usable_of(
    results: Sequence[Result], metric: str, left_out: list[tuple[str, str]], *, stopped_early: bool = False
) -> list[Result]:
    """The runs that can be compared, each once. The others are noted in `left_out` with the reason."""
    # Those that finished, with all that a comparison needs.
    finished = []
    for result in results:
        reason = _why_unusable(result, metric)
        if reason is None and not stopped_early and (stop := result.summary.get("stopped_early")):
            reason = f"{STOPPED_EARLY} in epoch {stop['epoch'] + 1}: {stop['why']}"
        if reason is None:
            finished.append(result)
        else:
            left_out.append((result.name, reason))
    if not finished:
        return []

    # Of these, those that share data, model and task with most of the others.
    shared = _what_is_shared(finished)
    most = Counter(map(shared, finished)).most_common(1)[0][0]
    alike = [result for result in finished if shared(result) == most]
    model = alike[0]
    contents = _most_common_contents(alike)
    usable: dict[str, Result] = {}
    for result in finished:
        own = f"{fingerprint(result.settings)} {extended(result)} {result.logged_by}"
        if shared(result) != most:
            left_out.append((result.name, _what_is_not_shared(result, model)))
        elif changed := printable(other_data.difference(contents, result.summary.get("contents"))):
            left_out.append((result.name, f"other data: {changed}"))
        elif own in usable:
            left_out.append((result.name, f"the same run as {usable[own].name}"))
        else:
            usable[own] = result
    return list(usable.values())


def unfinished_of(results: Sequence[Result], usable: Sequence[Result]) -> list[Result]:
    """The runs that did not finish and that would be comparable if they had."""
    finished_elsewhere = {fingerprint(result.settings) for result in usable}
    shared = _what_is_shared(results)
    own = shared(usable[0])
    lost = [result for result in results if result.status != "finished" and shared(result) == own]
    return [result for result in lost if fingerprint(result.settings) not in finished_elsewhere]


def none_finished(results: Sequence[Result], metric: str, left_out: Sequence[tuple[str, str]]) -> UserError:
    """The error where no run can be compared, with the most common reason."""
    measured = [one for one in results if one.status == "finished" and one.metrics and one.logged_by is None]
    lacks_average = is_of_average(metric) and not any(map(equal_terms.averages, measured))
    if measured and (find(metric) not in measured[0].metrics or lacks_average):
        names = [name for name in possible_metrics(measured[0].metrics) if not (lacks_average and is_of_average(name))]
        return wrong(
            "compare.metric",
            got=f"{metric}, which these runs do not measure",
            allowed=", ".join(names),
            do=f"compare.metric={names[0]}",
        )
    elsewhere = set(chain.from_iterable(one.summary for one in results if one.status == "finished"))
    if not measured and elsewhere and metric not in elsewhere:
        names = [name for name in possible_metrics(usual()) if name in elsewhere]
        do = f"compare.metric={names[0]}" if names else "log val_loss or val_accuracy"
        got = f"{metric}, which these runs do not measure"
        return wrong("compare.metric", got=got, allowed=", ".join(names) or "a metric that runs have", do=do)
    why = Counter(reason for _, reason in left_out).most_common(1)
    if why and all(reason.startswith(STOPPED_EARLY) for _, reason in left_out):
        got = f"{counted(len(results), 'run')}, all stopped early"
        raise wrong("compare", got=got, allowed="runs of one length", do="compare.stopped_early=true")
    return wrong(
        "compare",
        got=f"{counted(len(results), 'run')} of which none is finished" + (f" ({why[0][0]})" if why else ""),
        allowed="at least one finished run",
        do="start them again with the command that began them",
    )


def _what_is_shared(results: Sequence[Result]) -> Callable[[Result], str]:
    """What two runs must share to be compared at all: data, model and what is learned.

    Runs of other programs say no more of it than names, so where there are such, names decide.
    """
    if any(result.logged_by is not None for result in results):
        return lambda result: f"{result.choice('data')} {result.choice('model')}"
    return lambda result: fingerprint({key: one for key, one in result.settings.items() if key.startswith(SHARED)})


def _what_is_not_shared(result: Result, model: Result) -> str:
    """What a run has unlike `model`, which is one of those that are compared."""
    keys = [key for key in differing([result, model]) if key.startswith(SHARED)]
    if not keys or result.logged_by is not None or model.logged_by is not None:
        return f"other data or model: data={result.choice('data')}, model={result.choice('model')}"
    what = "another task" if keys[0].startswith("task.") else "other data or model"
    shown = ", ".join(f"{key}={result.settings.get(key)}" for key in keys[:3])
    return f"{what}: {shown}"


def _most_common_contents(results: Sequence[Result]) -> Any:
    """What the data of most of these runs holds; None where no run knows it."""
    known = [result.summary["contents"] for result in results if "contents" in result.summary]
    counts = Counter(repr(contents) for contents in known)
    return next((one for one in known if repr(one) == counts.most_common(1)[0][0]), None)


def _why_unusable(result: Result, metric: str) -> str | None:
    """Why a run cannot be compared by `metric`, whatever the others are; None where it can."""
    if result.status != "finished":
        return _why_unfinished(result)
    if result.history and find(metric) not in result.metrics:
        return f"its task does not measure {find(metric).name}"
    if is_of_average(metric) and not equal_terms.averages(result) and metric not in result.summary:
        return "it averaged no weights"
    lacking = _lacking(result, metric)
    return f"its files are missing or damaged (no {lacking})" if lacking else None


def _why_unfinished(result: Result) -> str:
    """How a run ended, and the beginning of its error if it had one."""
    if result.status == "running":
        return "not finished: it still runs, or was killed"
    if result.status == "not run":
        return "not finished: it left no summary"
    said = result.summary.get("complaint") or result.summary.get("error")
    return f"{result.status}: {said}" if said else result.status


def _lacking(result: Result, metric: str) -> str | None:
    """The first thing that a finished run should have, to be judged by `metric`, and lacks; None where it has all."""
    if not result.history:
        return "history.csv"
    if not result.settings:
        return "config.yaml"
    budget = budget_of(result)
    numbers = {"seed": result.settings.get("seed"), "trainer.epochs": budget.amount if budget else None}
    if "optimizer.lr" in result.settings:
        numbers["optimizer.lr"] = _above_zero(result.settings["optimizer.lr"])
    needed = [name for name in possible_metrics(result.metrics) if name == metric or not is_of_average(name)]
    if result.logged_by is not None:  # it need not have measured its training data
        needed = [name for name in needed if not name.startswith("train_")]
    numbers |= {name: result.summary.get(name) for name in (*needed, "seconds")}
    return next((name for name, value in numbers.items() if not is_number(value)), None)


def _above_zero(lr: Any) -> Any:
    return lr if is_number(lr) and lr > 0 else None
