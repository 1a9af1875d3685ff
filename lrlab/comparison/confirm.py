"""The study that would confirm what a sweep showed."""

import shlex
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from lrlab.comparison import results
from lrlab.comparison.budgets import in_order
from lrlab.comparison.contest import Contest
from lrlab.comparison.contests import Comparison
from lrlab.config.arguments import key_of
from lrlab.config.identity import LENGTHS
from lrlab.runs import summary
from lrlab.system import spelling
from lrlab.training.metrics import is_of_average

EXPLORATORY = "exploratory: the base LRs were chosen by the runs that are compared, and nothing was declared beforehand"
UNDECLARED = "exploratory: nothing was declared beforehand"
_AVERAGE = "trainer.average"
_NOT_ITS = (
    *("seed", "sweep", "hydra.sweep", "hydra/launcher", "hydra/sweeper", "hydra.sweeper"),
    *("trainer.stop_early", _AVERAGE),
)


def command(paths: Sequence[Path], contests: Sequence[Contest]) -> str | None:
    """The command of a study of the same candidates; None where there are not two of them to compare.

    A study judges weights as they are, so what is compared of averaged ones it cannot confirm.
    """
    if all(len(contest.candidates) < 2 for contest in contests):
        return None
    if any(contest.budget.unit not in ("epochs", "steps") for contest in contests):
        return None  # a study has no time budget
    if any({"trunk", "advice"} & summary.read(path, results.SWEEP).keys() for path in paths):
        return None  # nor cooldowns of a run; and advice says itself what would confirm it
    typed = _typed(paths[0]) if len(paths) == 1 else []
    if len(paths) > 1 and any(_fixed(path) for path in paths):
        return None  # which of their settings a study should have nobody can tell
    differ_in_average = any("," in one for one in typed if key_of(one).startswith(_AVERAGE))
    if differ_in_average or any(is_of_average(contest.metric) for contest in contests):
        return None
    name = paths[0].resolve().name.replace("=", "-") if len(paths) == 1 else "NAME"
    overrides = [one for one in typed if not key_of(one).startswith(_NOT_ITS)]
    if not overrides:
        schedules = list(dict.fromkeys(_first_word(candidate.name) for candidate in contests[0].candidates))
        overrides = [f"scheduler={','.join(schedules)}"]
    if len(contests) > 1:  # a study has one budget
        longest = in_order(contest.budget for contest in contests if len(contest.candidates) > 1)[-1]
        overrides = [one for one in overrides if key_of(one) not in LENGTHS] + [longest.setting]
    return f"{spelling.command('study')} {spelling.typed([name, *overrides])}"


def _typed(folder: Path) -> list[str]:
    """The overrides of the command that made a sweep, and its options; none where it is not known."""
    try:
        words = shlex.split(str(summary.read(folder, results.SWEEP).get("command") or ""))
    except ValueError:  # quotes that nothing closes: no command of ours
        return []
    return [word for word in words if "=" in word and not word.startswith("-")]


def _fixed(folder: Path) -> list[str]:
    """What the command of a sweep sets beside what studies choose."""
    chosen = ("scheduler", "optimizer.lr", *_NOT_ITS)
    return [one for one in _typed(folder) if key_of(one) not in chosen and not key_of(one).startswith(_NOT_ITS)]


def _first_word(name: str) -> str:
    return name.partition(", ")[0]


def told(compared: Comparison) -> list[str]:
    """What the words of a comparison are worth, and the command that would confirm them."""
    if all(len(contest.candidates) < 2 for contest in compared.contests):
        return []
    confirming = [f"  to confirm it: {compared.confirm}"] if compared.confirm else []
    candidates = chain.from_iterable(contest.candidates for contest in compared.contests)
    chosen = any(len(candidate.grid) > 1 for candidate in candidates)
    return [EXPLORATORY if chosen else UNDECLARED, *confirming]
