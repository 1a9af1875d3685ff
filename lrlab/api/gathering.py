"""The runs that are to be compared, from wherever they are: folders, tables, TensorBoard's files; and what they say."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lrlab.comparison import cautions, confirm, contests, foreign, results
from lrlab.comparison.contests import Comparison
from lrlab.comparison.foreign import Columns
from lrlab.comparison.results import Result
from lrlab.config import checks
from lrlab.errors import wrong
from lrlab.system import spelling
from lrlab.training.metrics import JUDGE, METRICS, possible_metrics, usual


@dataclass(frozen=True)
class Gathered:
    """Runs, from wherever they are, what they are judged by, and what nobody can check of them."""

    runs: list[Result]
    metric: str
    left_out: list[tuple[str, str]]
    unknown: list[str]


def gathered(paths: Sequence[Path], metric: str | None, columns: Columns) -> Gathered:
    """The runs in folders, in tables and in TensorBoard's files. Raises UserError where there are none."""
    for path in paths:
        if not path.exists():
            allowed = "folders of runs, tables (.csv, .tsv), folders of TensorBoard's files"
            do = f"{spelling.command('compare')} outputs/sweeps/NAME"
            raise wrong("compare", got=f"{path}, which does not exist", allowed=allowed, do=do)
    tables = [path for path in paths if foreign.is_foreign(path)]
    own = [path for path in paths if path not in tables]
    asked = Columns(**{**vars(columns), "metric": metric})
    found = [foreign.read(path, asked) for path in tables]
    if not found:
        if metric is not None and not metric.startswith(("val_", "best_val_", "train_")):
            checks.choice("compare.metric", metric, possible_metrics(usual()))
        _require_no_columns(columns)
    if len(found) > 1:
        for result in chain.from_iterable(one.results for one in found):
            result.summary["choices"]["data"] = "tables"  # that they are of the same data is what the user says
    runs = results.find(own) if own else []
    judged = {one.metric for one in found}
    if own:
        own_metric = metric or (judged and JUDGE) or results.default_metric(runs)
        if not found:
            own_ones = chain.from_iterable(result.metrics for result in runs)
            measured = {one.name: one for one in own_ones}
            checks.choice("compare.metric", own_metric, possible_metrics([*({**METRICS, **measured}).values()]))
        judged.add(own_metric)
    if len(judged) > 1:
        got = f"{' and '.join(sorted(judged))}, of different tables"
        do = "give the columns one name, or compare one table at a time"
        raise wrong("compare.metric", got=got, allowed="one metric for all", do=do)
    return Gathered(
        runs=[*runs, *chain.from_iterable(one.results for one in found)],
        metric=judged.pop(),
        left_out=results.not_begun(own, runs),
        unknown=list(chain.from_iterable(one.unknown for one in found)),
    )


def _require_no_columns(columns: Columns) -> None:
    """Raise UserError for a column of folders of runs, which have none."""
    for name, value in vars(columns).items():
        if value is not None and name != "metric":
            got = f"{value}, for folders of runs"
            raise wrong(f"compare.{name}", got=got, allowed="tables of other programs", do="leave it out")


def comparison_of(
    what: Gathered,
    *,
    reference: str | None,
    target: float | None,
    paths: Sequence[Path] = (),
    stopped_early: bool = False,
    together: bool = False,
) -> Comparison:
    """What the runs say, with what they cannot say among its warnings."""
    compared = contests.compare(
        what.runs,
        metric=what.metric,
        reference=reference,
        target=target,
        stopped_early=stopped_early,
        together=together,
    )
    compared.left_out += what.left_out
    compared.warnings += [*what.unknown, *cautions.of_other_programs(what.runs)]
    if not what.unknown and all(run.logged_by is None for run in what.runs):
        compared.confirm = confirm.command(paths, compared.contests) if paths else None
    return compared
