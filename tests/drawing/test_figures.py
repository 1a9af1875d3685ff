"""Figures are drawn of whatever there is, a line without a single value among it."""

import pytest

from lrlab.drawing.figures import as_svg
from lrlab.drawing.panels import Band, Panel, draw_panels


@pytest.mark.parametrize("stairs", [False, True])
def test_a_line_without_values_is_drawn_beside_one_that_has_some_and_only_values_have_tips(stairs):
    bands = [Band("none", [], [], [], []), Band("some", [1, 2, 3], [0.5, 0.25, 0.25])]
    panel = Panel(bands, "epoch", "loss", stairs=stairs, reach=(0, 3))
    page = as_svg(lambda: draw_panels([panel], with_tips=True))
    assert page.count("<title>some, epoch ") == (2 if stairs else 3)
    assert "<title>none" not in page


def test_points_of_many_names_stay_nearer_to_their_own_place_than_to_the_next():
    bands = [Band(f"schedule {number}", [0.05, 0.1], [1.0, 2.0], [0.9, 1.9], [1.1, 2.1]) for number in range(32)]
    figure = draw_panels([Panel(bands, "base LR", "loss", logx=True, points=True)])
    lines = figure.axes[0].get_lines()
    assert all(0.05 / 2**0.25 < x < 0.05 * 2**0.25 for x in (line.get_xdata()[0] for line in lines))
    assert len({line.get_xdata()[0] for line in lines}) == 32
