"""A drawing shows every stair where it is, on linear and logarithmic axes, in the width that it is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrlab.drawing.terminal import BARS, Line, aligned, plot, sparkline

STAIRS = Line("stairs", [0, 10, 20, 30], [1.0, 0.5, 0.25])


def text(rows):
    return ["".join(part for part, _ in row) for row in rows]


def body(rows):
    """The cells right of the axis."""
    return [line[max(line.find("│"), line.find("┤")) + 1 :] for line in text(rows)[:-2]]


@given(
    values=st.lists(st.floats(0.0, 1e3), min_size=1, max_size=200),
    width=st.integers(30, 150),
    height=st.integers(4, 40),
    log=st.booleans(),
)
def test_rows_have_the_width_and_every_column_is_drawn(values, width, height, log):
    rows = plot([Line("x", list(range(len(values) + 1)), values)], width=width, height=height, log=log)
    assert len(rows) == height + 2
    assert {len(line) for line in text(rows)} == {width}
    assert all(any(cell != " " for cell in column) for column in zip(*body(rows), strict=True))


def test_a_staircase_is_where_its_values_are():
    cells = body(plot([STAIRS, STAIRS], width=65, height=8))
    assert len(cells[0]) == 60
    top = [row.index("b") for row in cells if "b" in row]
    assert cells[0].startswith("b" * 20)  # the highest value, for a third of the width
    assert cells[4].count("b") + cells[3].count("b") >= 20  # half of it, in the middle row
    assert top == sorted(top)
    assert cells[7].strip() == ""  # nothing is below a quarter
    assert cells[6].count("b") + cells[5].count("b") >= 20


def test_a_logarithmic_axis_gives_each_power_of_ten_the_same_room():
    line = Line("decades", [0, 1, 2, 3, 4], [1.0, 0.1, 0.01, 0.001])
    rows = plot([line, line], width=47, height=12, log=True)
    starts = [next(i for i, row in enumerate(body(rows)) if row[column] == "b") for column in (1, 11, 21, 31)]
    assert starts == [0, 3, 7, 11]
    assert "1e-3" in "".join(text(rows))


def test_the_last_curve_is_on_top_and_one_alone_is_drawn_with_dots():
    flat = Line("flat", [0, 30], [0.5])
    assert {cell for row in body(plot([STAIRS, flat], width=60)) for cell in row} == {" ", "a", "b"}
    dots = {cell for row in body(plot([flat], width=60)) for cell in row} - {" "}
    assert all(0x2800 < ord(cell) < 0x2900 for cell in dots)


@pytest.mark.parametrize(
    ("values", "shown"),
    [([1.0, 1.0], BARS[7] * 4), ([1.0, 0.0], BARS[7] * 2 + "  "), ([0.0, 0.0], "    "), ([0.1, 1.0], "▁▁██")],
)
def test_a_sparkline_goes_from_zero_to_the_highest_value(values, shown):
    assert sparkline(Line("x", [0, 1, 2], values), width=4) == shown


ROWS = [["run", "LR", "loss", "state"], ["scheduler=cosine,lr=0.01,seed=12", "0.01", "0.2500", "running"]]


@pytest.mark.parametrize("width", [None, 80, 44, 36, 30, 24, 12])
def test_a_table_fits_its_width_and_keeps_what_matters(width):
    lines = aligned(ROWS, width, spare=["LR", "state", "loss"])
    assert len({line.find("loss") for line in lines[:1]}) == 1
    if width is None:
        assert lines[1] == "scheduler=cosine,lr=0.01,seed=12  0.01  0.2500  running"
    elif width >= 24:
        assert max(map(len, lines)) <= width
    assert lines[1].startswith("sched")
    assert "seed=12" in lines[1] or width == 12
