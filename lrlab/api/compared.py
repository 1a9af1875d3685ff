"""What `lrlab.compare` returns: what runs or a study showed, which a notebook shows."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import chain
from pathlib import Path
from typing import Any

from lrlab.api import pictures
from lrlab.api.frames import frame
from lrlab.api.wording import in_python
from lrlab.comparison import confirm, report, results, study_page, study_text, text, verdict
from lrlab.comparison.claims import sentence
from lrlab.comparison.contests import Comparison
from lrlab.comparison.pairs import Pair
from lrlab.comparison.panels import learning_panels, means_panel, sensitivity_panel
from lrlab.comparison.results import Result
from lrlab.drawing.panels import draw_panels
from lrlab.schedules.law import wrong_argument
from lrlab.system import disk


def _meant(name: str, names: Sequence[str]) -> str:
    """The only one of `names` that is `name` with more in brackets; `name` itself where there is no such.

    >>> names = ["wsd (a loop)", "cosine (a loop)", "cosine", "linear and flat"]
    >>> _meant("wsd", names), _meant("cosine", names), _meant("linear", names)
    ('wsd (a loop)', 'cosine', 'linear')
    """
    longer = [one for one in names if one.startswith(f"{name} (")]
    return longer[0] if name not in names and len(longer) == 1 else name


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
        """What is known of the schedule `name` beside `other`: "better", "worse" or "undecided".

        A name may be without what `compare` has added to it in brackets, as far as that of one schedule alone is.
        """
        candidates = chain.from_iterable(contest.candidates for contest in self.comparison.contests)
        names = sorted({candidate.name for candidate in candidates})
        asked = (_meant(name, names), _meant(other, names))
        for pair, _ in self._pairs():
            for one in (pair, pair.reversed()):
                if (one.name, one.other) == asked:
                    return one.verdict
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
                    candidate.known_lr,
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
