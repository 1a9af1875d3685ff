"""Runs that average their weights, compared with those that do not."""

from collections.abc import Sequence
from dataclasses import replace

from lrlab.comparison.candidates import Candidate
from lrlab.comparison.results import HistoryRow, Result
from lrlab.training.metrics import AVERAGE, is_of_average, measured_names


def on_equal_terms(results: Sequence[Result], metric: str) -> list[Result]:
    """The runs as they are judged by `metric`.

    Where that is one of averaged weights, a run that averaged none is judged by its weights as they are: by what it
    would give to whoever uses it. Where none averages there is nothing to judge by it.
    """
    if not is_of_average(metric) or not any(map(averages, results)):
        return list(results)
    return [result if averages(result) else _as_it_is(result) for result in results]


def averages(result: Result) -> bool:
    """Whether a run averages its weights."""
    return result.settings.get("trainer.average") is not None


def _as_it_is(result: Result) -> Result:
    """The run with what its weights measured in the place of what averaged ones would have."""
    summary = dict(result.summary)
    for best in ("", "best_"):
        for name in measured_names(result.metrics, "val"):
            if f"{best}{name}" in summary:
                summary[f"{best}{AVERAGE}{name}"] = summary[f"{best}{name}"]
    return replace(result, summary=summary, history=[_row_as_it_is(row) for row in result.history])


def _row_as_it_is(row: HistoryRow) -> HistoryRow:
    averaged = {f"{AVERAGE}{name}": value for name, value in row.measured.items() if name.startswith("val_")}
    return replace(row, measured={**row.measured, **averaged})


def cautions(candidates: Sequence[Candidate], metric: str) -> list[str]:
    """What the reader has to know where not all candidates average their weights, or not in one way."""
    ways = {candidate.name: _ways(candidate) for candidate in candidates}
    if len(set(ways.values())) == 1:
        return []
    if not is_of_average(metric):
        return [
            f"{metric.replace('_', ' ')} is of the weights as they are, which no average changes; "
            f"compare.metric={_of_average(metric)} judges averaged ones beside them"
        ]
    without = [name for name, way in ways.items() if way == {None}]
    return [f"judged by the weights as they are, for they average none: {', '.join(without)}"] if without else []


def _ways(candidate: Candidate) -> frozenset[object]:
    return frozenset(run.settings.get("trainer.average") for run in candidate.all_runs)


def _of_average(metric: str) -> str:
    """The metric of averaged weights that takes the place of `metric`; of a training metric, that on val.

    >>> _of_average("val_loss"), _of_average("best_val_loss"), _of_average("train_loss")
    ('average_val_loss', 'best_average_val_loss', 'average_val_loss')
    """
    best = "best_" if metric.startswith("best_") else ""
    name = metric.removeprefix("best_").partition("_")[2]
    return f"{best}{AVERAGE}val_{name}"
