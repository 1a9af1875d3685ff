"""A comparison as lines of text, for the terminal."""

from lrlab.comparison import confirm, report
from lrlab.comparison.claims import sentence
from lrlab.comparison.contest import Contest, columns
from lrlab.comparison.contests import Comparison
from lrlab.drawing.terminal import aligned
from lrlab.words import counted, few

_FEW_SEEDS = 3  # for which Student's t is more than twice the normal distribution's


def lines(compared: Comparison, width: int | None = None) -> list[str]:
    """The comparison as text: for each contest a table and what can be claimed, then what was left out.

    In less `width` than a table takes, columns are left out.
    """
    text: list[str] = []
    for contest in compared.contests:
        text += [contest.title, *_table(contest, width), ""]
        text += [f"  {sentence(one, contest.metric, confirmed=False)}" for one in contest.told]
        if len(contest.pairs) > len(contest.against):
            text.append(f"  (all against {contest.reference}; compare.reference=NAME sets them against another)")
        text += few([f"  warning: {warning}" for warning in contest.warnings], "{} warnings more")
        text += [""]
    text += confirm.told(compared)
    text += [f"warning: {warning}" for warning in compared.warnings]
    text += few([f"left out: {name} ({why})" for name, why in compared.left_out], "{} runs more")
    if text and text[-1] == "":
        text.pop()
    return text


def _table(contest: Contest, width: int | None) -> list[str]:
    headings = report.table_headings(contest)
    judged = columns(contest)[contest.metric]
    spare = [*reversed([one for one in headings[3:] if one != judged]), "seeds", "best LR"]
    table = [headings, *report.table(contest)]
    lines = aligned(table, width, spare)
    if len(contest.drawn) < len(contest.candidates):
        lines.append(
            f"({len(contest.candidates):,} schedules in all, of which these are the best{_and_reference(contest)})"
        )
    missing = [one for one in headings if one not in lines[0]]
    if missing:
        lines.append(f"({counted(len(missing), 'column')} more in a wider terminal)")
    return lines + _why_wide(contest)


def _why_wide(contest: Contest) -> list[str]:
    """What the brackets hold, where so few seeds make them wide that one wonders."""
    seeds = [len(candidate.best) for candidate in contest.drawn if len(candidate.best) > 1]
    if not seeds or min(seeds) > _FEW_SEEDS:
        return []
    together = f" for all {len(contest.candidates):,} rows together" if len(contest.candidates) > 1 else ""
    return [f"(in brackets: intervals that hold{together}; {min(seeds)} seeds make them wide)"]


def _and_reference(contest: Contest) -> str:
    """Said where the last one that is shown is there to be compared with."""
    is_added = contest.drawn[-1] not in contest.candidates[: len(contest.drawn)]
    return f", and {contest.reference}" if is_added else ""
