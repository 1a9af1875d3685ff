"""`lrlab.compare`: what runs, tables of other programs or a study showed, and what may be claimed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain
from pathlib import Path
from typing import Any

from lrlab.api import pictures
from lrlab.api.frames import frame
from lrlab.api.running import Run, Runs
from lrlab.api.wording import in_python, of_arguments
from lrlab.comparison import (
    cautions,
    confirm,
    contests,
    design,
    foreign,
    report,
    results,
    study_page,
    study_text,
    text,
    verdict,
)
from lrlab.comparison.claims import sentence
from lrlab.comparison.contests import Comparison
from lrlab.comparison.foreign import Columns
from lrlab.comparison.pairs import Pair
from lrlab.comparison.panels import learning_panels, means_panel, sensitivity_panel
from lrlab.comparison.results import Result
from lrlab.config import checks
from lrlab.drawing.panels import draw_panels
from lrlab.errors import wrong
from lrlab.schedules.law import wrong_argument
from lrlab.system import disk, spelling
from lrlab.training.metrics import JUDGE, METRICS, find, possible_metrics, usual


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


class Compared:
    """What runs showed: tables, sentences and curves, which a notebook shows.

    Everything in it is exploratory, unless it is a study: the runs that chose the base LRs also judge.
    """

    def __init__(self, comparison: Comparison, runs: Sequence[Result]):
        self.comparison, self.runs = comparison, list(runs)

    @property
    def sentences(self) -> list[str]:
        """What may be said of each pair, in words."""
        return [sentence(pair, metric, confirmed=False) for pair, metric in self._pairs()]

    @property
    def warnings(self) -> list[str]:
        """What makes it less fair or less sure than it looks, a line each."""
        own = chain.from_iterable(contest.warnings for contest in self.comparison.contests)
        return [in_python(line) for line in (*own, *self.comparison.warnings)]

    @property
    def left_out(self) -> dict[str, str]:
        """The runs that could not be compared, each with the reason."""
        return dict(self.comparison.left_out)

    def verdict(self, name: str, other: str) -> str:
        """What is known of the schedule `name` beside `other`: "better", "worse" or "undecided"."""
        for pair, _ in self._pairs():
            for one in (pair, pair.reversed()):
                if (one.name, one.other) == (name, other):
                    return one.verdict
        candidates = chain.from_iterable(contest.candidates for contest in self.comparison.contests)
        names = sorted({candidate.name for candidate in candidates})
        raise wrong_argument("name", got=f"'{name}' and '{other}'", allowed=", ".join(names), do="two of these names")

    def to_frame(self) -> Any:
        """A row a schedule at its best LR: `schedule`, `lr`, `seeds`, then `mean`, `low` and `high` of the metric."""
        columns: dict[str, list[Any]] = {
            name: [] for name in ("schedule", "epochs", "lr", "seeds", "mean", "low", "high")
        }
        for contest in self.comparison.contests:
            for candidate in contest.candidates:
                mean = contest.mean(candidate, contest.metric)
                values = (
                    candidate.name,
                    contest.epochs,
                    candidate.best_lr,
                    len(candidate.best),
                    float(mean.value),
                    float(mean.low),
                    float(mean.high),
                )
                for column, value in zip(columns.values(), values, strict=True):
                    column.append(value)
        return frame(columns)

    def pairs(self) -> Any:
        """A row a pair: `one`, `other`, `verdict`, `difference` with `low` and `high`, all pairs holding together."""
        columns: dict[str, list[Any]] = {name: [] for name in ("one", "other", "verdict", "difference", "low", "high")}
        for pair, _ in self._pairs():
            interval = pair.difference
            values = (pair.name, pair.other, pair.verdict, *map(float, (interval.value, interval.low, interval.high)))
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
        return frame(columns)

    def plot(self) -> pictures.Picture:
        """The learning curves of the schedules at their best LRs; without any, how the LR matters, or the means."""
        contest = self.comparison.contests[0]
        sensitivity = sensitivity_panel(contest)
        panels = learning_panels(contest) or [sensitivity or means_panel(contest)]
        return pictures.Picture(lambda: draw_panels(panels))

    def write(self, folder: str | Path) -> Path:
        """Write the page `report.html`, `results.csv` and the figures into `folder`; returns the page."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        results.write(place, self.runs)
        drawn = report.write_figures(self.comparison, place / "figures", ".svg")
        page = report.page(
            self.comparison,
            title=f"Comparison {place.resolve().name}",
            command=None,
            facts=report.facts(self.comparison),
            files=[place / results.TABLE, *drawn],
            folder=place,
        )
        disk.write_whole(place / "report.html", page)
        return place / "report.html"

    def _pairs(self) -> Iterator[tuple[Pair, str]]:
        for contest in self.comparison.contests:
            for pair in contest.pairs:
                yield pair, contest.metric

    def __repr__(self) -> str:
        return "\n".join(map(_said, text.lines(self.comparison)))

    def _repr_html_(self) -> str:
        shown = ""
        for contest in self.comparison.contests:
            shown += f"<p><b>{escape(contest.title)}</b></p>"
            shown += pictures.table(report.table_headings(contest), report.table(contest))
            shown += pictures.notes([sentence(one, contest.metric, confirmed=False) for one in contest.against])
        shown += self.plot()._repr_html_()
        left_out = [f"left out: {name} ({why})" for name, why in self.comparison.left_out]
        return shown + pictures.notes([*confirm.told(self.comparison), *self.warnings, *left_out])


class ComparedStudy:
    """What a study found: what it claims, and on what that rests. A notebook shows it."""

    def __init__(self, study: verdict.Study):
        self.study = study

    @property
    def sentences(self) -> list[str]:
        """What the study claims of each pair; nothing before it has ended."""
        if not self.study.is_finished:
            return []
        return [study_text.claim(self.study, finding) for finding in self.study.findings]

    def to_frame(self) -> Any:
        """A row a candidate, as it is printed."""
        rows = study_text.rows(self.study)
        names = study_text.headings(self.study)
        return frame({name: [row[index] for row in rows] for index, name in enumerate(names)})

    def plot(self) -> pictures.Picture:
        """The figures of the study's page."""
        return pictures.Picture(lambda: draw_panels(study_page.panels(self.study)))

    def __repr__(self) -> str:
        return "\n".join(study_text.lines(self.study))

    def _repr_html_(self) -> str:
        said = [study_text.title(self.study), *study_text.standing(self.study)]
        drawn = self.plot()._repr_html_() if study_page.panels(self.study) else ""
        table = pictures.table(study_text.headings(self.study), study_text.rows(self.study))
        return pictures.notes(said) + table + pictures.notes(self.sentences) + drawn


def _said(line: str) -> str:
    """A line in Python's words, unless it is a command to be typed."""
    return line if "to confirm it:" in line else in_python(line)


def compare(
    *what: Any,
    schedule: str | None = None,
    lr: str | None = None,
    seed: str | None = None,
    metric: str | None = None,
    step: str | None = None,
    better: str | None = None,
    reference: str | None = None,
    target: float | None = None,
    stopped_early: bool = False,
    together: bool = False,
) -> Compared | ComparedStudy:
    """What `what` showed: runs of `lrlab.train` and `lrlab.sweep`, folders, or a table of another program.

    A table is a CSV file, a pandas DataFrame, a dict of columns or a list of rows, with a row a run, or a row a step of
    a run; W&B's and MLflow's exports are such tables. A folder may hold TensorBoard's files of other programs.
    `schedule`, `lr`, `seed`, `metric` and `step` name its columns where their names do not tell, and `better` says
    "higher" or "lower". For lrlab's own runs `metric` is one of those that they measured, "val_accuracy" by default.

    Each schedule is judged at its own best LR, and every pair is tested together. `reference` is what the sentences
    compare with, and `target` a value of the metric whose reaching is timed. Runs that were `stopped_early` are left
    out unless they are asked for, and budgets (epochs, updates, times) are compared each by itself unless `together`.
    Raises ValueError where nothing can be compared.

    >>> table = {"schedule": ["a"] * 4 + ["b"] * 4, "lr": [0.1] * 8, "seed": [0, 1, 2, 3] * 2,
    ...          "accuracy": [0.90, 0.91, 0.92, 0.91, 0.80, 0.81, 0.80, 0.82]}
    >>> compare(table).sentences
    ['a looks better than b by 10.25 points (8.62 to 11.88), 4 seeds each']
    """
    columns = Columns(schedule=schedule, lr=lr, seed=seed, metric=metric, step=step, better=better)
    with of_arguments():
        if better is not None:
            checks.choice("compare.better", better, ("higher", "lower"))
        paths = _paths(what)
        if paths is None:
            return _of_table(what, columns, reference=reference, target=target)
        if len(paths) == 1 and design.is_study(paths[0]):
            return ComparedStudy(verdict.read(paths[0]))
        found = gathered(paths, metric, columns)
        compared = comparison_of(
            found,
            reference=reference,
            target=target,
            paths=paths,
            stopped_early=stopped_early,
            together=together,
        )
        return Compared(compared, found.runs)


def _paths(what: Sequence[Any]) -> list[Path] | None:
    """The folders and files that were given; None where it is a table."""
    paths: list[Path] = []
    for one in what:
        if isinstance(one, Run):
            paths.append(one.folder)
        elif isinstance(one, Runs):
            paths += [one.folder] if one.folder is not None else [run.folder for run in one]
        elif isinstance(one, str | Path):
            paths.append(disk.expanded(str(one), "compare"))
        elif isinstance(one, list | tuple) and one and all(isinstance(run, Run) for run in one):
            paths += [run.folder for run in one]
        else:
            return None
    if not paths:
        do = 'lrlab.compare("outputs/sweeps/NAME")'
        raise wrong_argument("compare", got="nothing", allowed="runs, folders or a table", do=do)
    return paths


def _of_table(what: Sequence[Any], columns: Columns, *, reference: str | None, target: float | None) -> Compared:
    if len(what) > 1:
        got = f"{len(what)} arguments, of which one is a table"
        raise wrong_argument(
            "compare", got=got, allowed="one table, or runs and folders", do="join them into one table"
        )
    found = foreign.from_rows(foreign.rows_of(what[0]), columns, place="table")
    gathered_runs = Gathered(found.results, found.metric, [], found.unknown)
    if target is not None and find(found.metric).is_share and not 0 <= target <= 1:
        raise wrong_argument("target", got=target, allowed="0 to 1", do="target=0.95")
    return Compared(comparison_of(gathered_runs, reference=reference, target=target), found.results)
