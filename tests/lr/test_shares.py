"""The used share of a time budget is a position in the plan, by arithmetic alone."""

import pytest

from lrlab.lr.horizon import POSITIONS
from lrlab.lr.shares import LAST, position_at, read, written


@pytest.mark.parametrize("end", [1.0, 60.0, 7200.0])
@pytest.mark.parametrize("share", [0, 1e-5, 0.25, 0.375, 0.5, 0.875])
def test_the_position_is_the_share_that_is_used(end, share):
    position, is_last = position_at(share * end, end, each=end / 1000)
    assert position == int(share * POSITIONS)
    assert not is_last


@pytest.mark.parametrize("each", [0.001, 0.01, 0.1, 1.0, 7.0, 40.0])
@pytest.mark.parametrize("slower", [1, 3])
def test_updates_use_the_time_up_and_end_at_the_end_of_the_plan(each, slower):
    end, used, positions = 60.0, 0.0, []
    while True:
        took = each * (slower if used > end / 2 else 1)  # from half time on, other work takes its share
        position, is_last = position_at(used, end, took)
        positions.append(position)
        used += took
        if is_last:
            break
    assert positions == sorted(positions)
    assert positions[-1] == LAST
    assert used > end - took  # no other update would have fitted
    assert used <= end or each * slower > end / 2


def test_an_update_that_takes_longer_than_the_budget_is_the_last_one():
    assert position_at(0.0, 10.0, 60.0) == position_at(70.0, 10.0, 60.0) == (LAST, True)
    assert position_at(0.0, 0.0, 0.0) == (LAST, True)


def test_a_share_is_written_so_that_it_is_read_back():
    assert [read(written(position)) for position in range(POSITIONS)] == list(range(POSITIONS))
    for text in ("1.0000", "-0.1000", "0.25", "0.25001", "nan"):
        with pytest.raises(ValueError, match=r"share of a budget|NaN"):
            read(text)
