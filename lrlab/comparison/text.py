"""A comparison as lines of text, for the terminal."""

from lrlab.comparison import report
from lrlab.comparison.contests import Comparison, Contest


def lines(compared: Comparison) -> list[str]:
    """The comparison as text: a table a contest, what can be claimed, and what was left out."""
    text = []
    for contest in compared.contests:
        text += [contest.title, *_table(contest), ""]
        text += [f"  {one.sentence}" for one in contest.against]
        text += [f"  warning: {warning}" for warning in contest.warnings]
        text += [""]
    text += [f"left out: {name} ({why})" for name, why in compared.left_out]
    return text[: -1 if text[-1:] == [""] else None]


def _table(contest: Contest) -> list[str]:
    rows = [report.table_headings(contest), *report.table(contest)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
