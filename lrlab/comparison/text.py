"""A comparison as lines of text, for the terminal."""

from lrlab.comparison import report
from lrlab.comparison.contests import Comparison, Contest


def lines(compared: Comparison) -> list[str]:
    """The comparison as text: for each contest a table and what can be claimed, then what was left out."""
    text: list[str] = []
    for contest in compared.contests:
        text += [contest.title, *_table(contest), ""]
        text += [f"  {one.sentence}" for one in contest.against]
        text += [f"  warning: {warning}" for warning in contest.warnings]
        text += [""]
    text += [f"left out: {name} ({why})" for name, why in compared.left_out]
    if text and text[-1] == "":
        text.pop()
    return text


def _table(contest: Contest) -> list[str]:
    rows = [report.table_headings(contest), *report.table(contest)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [_aligned(row, widths) for row in rows]


def _aligned(row: list[str], widths: list[int]) -> str:
    """A row as a line: the first cell to the left of its column, the others to the right."""
    name = row[0].ljust(widths[0])
    cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([name, *cells]).rstrip()
