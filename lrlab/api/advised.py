"""What `lrlab.advise` found, as a value: a sentence, the commands that follow, and all that was tried."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lrlab.api import pictures
from lrlab.api.frames import frame
from lrlab.api.predictions import LABELS
from lrlab.config.arguments import key_of
from lrlab.config.secrets import mask_overrides
from lrlab.drawing.panels import Band, Panel, draw_panels
from lrlab.drawing.terminal import aligned
from lrlab.forecast.evidence import Cell, Expected, Probe
from lrlab.forecast.uncertainty import LEVEL
from lrlab.sweeps.advice_request import CONSTANT, PILOT, AdviceRequest
from lrlab.system import spelling
from lrlab.words import counted

_NAMED = 4  # alternatives in a sentence


@dataclass(frozen=True)
class Cost:
    """What the advice cost."""

    runs: int
    updates_each: int
    range_tests: int  # updates of all of them

    @property
    def updates(self) -> int:
        return self.runs * self.updates_each + self.range_tests

    @property
    def in_runs(self) -> float:
        """Runs' worth of updates."""
        return self.updates / self.updates_each


class Advice:
    """The schedule to take, and its base LR. A notebook shows the sentence, a picture and what was tried."""

    def __init__(self, request: AdviceRequest, expected: Expected, tried: Sequence[Cell], cost: Cost):
        self._request, self._expected = request, expected
        self.tried = tuple(tried)  # the best first: schedule, lr, loss, seeds
        self.cost = cost

    @property
    def schedule(self) -> str:
        """The name of the schedule to take."""
        return self._expected.cell.schedule

    @property
    def lr(self) -> float:
        """The base LR to take."""
        return self._expected.cell.lr

    @property
    def loss(self) -> float:
        """The final loss to expect: of validation, or of training where nothing is validated.

        It is above the measured one where others were as good, for the best of several has been lucky.
        """
        return self._expected.loss

    @property
    def judged_by(self) -> str:
        """The loss that decided: "val", or "train" where some run has no validation loss that can be used."""
        return self._expected.judged_by

    @property
    def interval(self) -> tuple[float, float]:
        """A 90 % interval for the mean of that loss over seeds."""
        return self._expected.interval

    @property
    def alike(self) -> tuple[Cell, ...]:
        """What was trained and cannot be told apart from it."""
        return self._expected.alike

    @property
    def overrides(self) -> list[str]:
        """What to train it by: `lrlab.train(*advice.overrides)`."""
        run = self._request.overrides(Probe(self.schedule, self.lr))
        return [one for one in run if not key_of(one).startswith("hydra")]  # a run has no launcher

    @property
    def command(self) -> str:
        """The command that trains it."""
        return f"{spelling.command('train')} {spelling.typed(mask_overrides(self.overrides))}"

    @property
    def study(self) -> str | None:
        """The command that gives a verdict on it and the next best schedule; None where no other was trained."""
        others = [cell.schedule for cell in self.tried if cell.schedule != self.schedule]
        if not others:
            return None
        candidates = f"scheduler={self.schedule},{others[0]}"
        typed = [_study_name(self._request.folder.name), *mask_overrides(self._request.common), candidates]
        return f"{spelling.command('study')} {spelling.typed([*typed, *self._request.lr_as_typed(self.lr)])}"

    @property
    def sentence(self) -> str:
        low, high = self.interval
        seeds = counted(self._expected.cell.seeds, "seed")
        said = f"take {self.schedule} at LR {self.lr:g}: expected {LABELS[self.judged_by]} {self.loss:.4g}"
        return f"{said} ({low:.4g} to {high:.4g} for the mean over seeds, {LEVEL:.0%}; {seeds} trained)"

    @property
    def notes(self) -> list[str]:
        """How sure it is, what it cost, and what to type next."""
        alike = [f"{cell.schedule} at {cell.lr:g} ({cell.loss:.4g})" for cell in self.alike]
        more = f" and {len(alike) - _NAMED} more" if len(alike) > _NAMED else ""
        named, cost = ", ".join(alike[:_NAMED]), self.cost
        tests = f"{counted(cost.runs, 'run')} of {cost.updates_each:,} updates, and {cost.range_tests:,} of range tests"
        lines = [
            f"not told apart from it: {named}{more}" if alike else "nothing else that was tried is within its noise",
            *self._untried,
            f"cost: {tests}: {cost.in_runs:.1f} runs' worth of {self._request.budget:g}",
            f"to train it:   {self.command}",
        ]
        if self.study is not None:
            lines.append(f"for a verdict: {self.study}")
        return lines

    @property
    def _untried(self) -> list[str]:
        """A line on the schedules that could be chosen and were not trained, where the budget did not reach so far."""
        trained = {cell.schedule for cell in self.tried}
        others = [name for name in self._request.schedules if name not in trained | {*self._request.left_out}]
        if trained - {PILOT, CONSTANT} or not others:
            return []
        return [f"nothing but {' and '.join(sorted(trained))} was tried: for more schedules, a larger advise.budget"]

    def facts(self) -> dict[str, Any]:
        """All of it, for machines."""
        return {
            "schedule": self.schedule,
            "lr": self.lr,
            "judged_by": self.judged_by,
            "loss": self.loss,
            "interval": list(self.interval),
            "alike": [asdict(cell) for cell in self.alike],
            "tried": [asdict(cell) for cell in self.tried],
            "cost": {**asdict(self.cost), "updates": self.cost.updates, "runs_worth": self.cost.in_runs},
            "budget": self._request.budget,
            "left_out": self._request.left_out,
            "command": self.command,
            "study": self.study,
            "folder": str(self._request.folder),
        }

    def to_frame(self) -> Any:
        """A row for each schedule and base LR that was trained, the best first."""
        return frame(
            {name: [getattr(cell, name) for cell in self.tried] for name in ("schedule", "lr", "loss", "seeds")}
        )

    def table(self) -> list[list[str]]:
        """What is printed: headings, then a row for each schedule and base LR, the best first."""
        rows = [["schedule", "LR", LABELS[self.judged_by], "seeds"]]
        return rows + [[cell.schedule, f"{cell.lr:g}", f"{cell.loss:.4g}", str(cell.seeds)] for cell in self.tried]

    def plot(self) -> pictures.Picture:
        """The losses over the base LR, a line a schedule."""
        return pictures.Picture(lambda: draw_panels([self._panel()]))

    def _panel(self) -> Panel:
        bands = []
        for schedule in dict.fromkeys(cell.schedule for cell in self.tried):
            cells = sorted((cell for cell in self.tried if cell.schedule == schedule), key=lambda cell: cell.lr)
            bands.append(Band(schedule, [cell.lr for cell in cells], [cell.loss for cell in cells]))
        return Panel(bands, "base LR", f"final {LABELS[self.judged_by]}", logx=True, logy=True)

    def __repr__(self) -> str:
        return "\n".join([*aligned(self.table()), "", self.sentence, *self.notes])

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        notes = pictures.notes([self.sentence, *self.notes])
        return notes + self.plot()._repr_html_() + pictures.table(header, rows)


def _study_name(folder: str) -> str:
    """A name for the study: the values that were chosen, as they name the folder.

    >>> _study_name("data=digits,model=mlp,epochs=5"), _study_name("default")
    ('digits-mlp-5', 'default')
    """
    return "-".join(part.rpartition("=")[2] for part in folder.split(","))
