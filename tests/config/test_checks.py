"""A value is checked against the annotation of its parameter, or else against its default."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Literal, Optional, Union

import pytest
import torch

from lrlab.config import build
from lrlab.config.checks import check_target
from lrlab.errors import UserError
from lrlab.schedules.lengths import MOMENT, Knot, Length, Level, Moment


def unannotated(count=10, decay=0, flag=False, name="x", none=None): ...


def marked(
    *,
    length: Length,
    moments: Sequence[Moment] = (),
    whole: Annotated[int, MOMENT] = 1,
    maybe: Level | None = None,
    knots: Sequence[tuple[Knot, Level]] = (),
    ends: tuple[Moment, ...] | list[Moment] = (),
    several: Level | Sequence[Level] = 0.1,
): ...


def as_texts(length: "Length", whole: "Annotated[int, MOMENT]" = 1, lost: "NotThere[int]" = 3): ...  # noqa: F821


def plain(
    *,
    flag: bool = False,
    old: Optional[int] = None,  # noqa: UP045  # as torch writes it
    union: Union[float, torch.Tensor] = 0.1,  # noqa: UP007
    floats: Iterable[float] = (),
    either: bool | str = True,
    word: Literal["a"] = "a",
    call: Callable[[int], float] | None = None,
    table: Mapping[str, int] | None = None,
    nested: Sequence[Sequence[int]] = (),
    betas: tuple[float, float] = (0.9, 0.99),
    eps: tuple[float | None, float] = (None, 1e-3),
    maybe_word: Literal["a", "b"] | None = None,
): ...


def check(function, **settings):
    node = {"_target_": f"{__name__}.{function.__name__}", "_partial_": True, **settings}
    check_target(node, "node")


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [
        (unannotated, "decay", 0.01),  # an int is the default, and any number will do
        (unannotated, "decay", 3),
        (unannotated, "count", 2.5),
        (unannotated, "flag", True),
        (unannotated, "name", 3),
        (unannotated, "none", 3),
        (marked, "length", 2.5),
        (marked, "moments", [1, 2.5]),
        (marked, "whole", 3),
        (marked, "maybe", None),
        (marked, "maybe", 0.5),
        (marked, "knots", [[0, 1.0], [5, 0.1]]),
        (marked, "ends", [3]),
        (marked, "several", 0.5),
        (marked, "several", [0.5, 1]),
        (as_texts, "length", 2.5),
        (plain, "old", None),
        (plain, "old", 3),
        (plain, "union", 3),
        (plain, "floats", [1, 0.5]),
        (plain, "either", "x"),
        (plain, "word", "a"),
        (plain, "call", 3),
        (plain, "table", 3),
        (plain, "nested", [[1], [2, 3]]),
        (plain, "betas", [0.9, 0.99]),
        (plain, "eps", [None, 0.1]),
        (plain, "eps", [0.1, 0.1]),
        (plain, "maybe_word", None),
        (plain, "maybe_word", "b"),
    ],
)
def test_a_value_of_the_kind_that_is_expected_is_right(function, name, value):
    check(function, **{name: value})


@pytest.mark.parametrize(
    ("function", "name", "value", "message"),
    [
        (unannotated, "decay", "much", "got 'much'; allowed: a number; do: node.decay=0"),
        (unannotated, "decay", True, "got True; allowed: a number"),
        (unannotated, "decay", None, "got None; allowed: a number"),
        (unannotated, "flag", 1, "got 1; allowed: true or false; do: node.flag=true"),
        (marked, "length", "much", "got 'much'; allowed: a number"),
        (marked, "length", None, "got None; allowed: a number"),
        (marked, "moments", 3, r"got 3; allowed: a list; do: node.moments=\[3\]"),
        (marked, "moments", [3, "x"], "got 'x'; allowed: a number"),
        (marked, "whole", 2.5, "got 2.5; allowed: an integer; do: node.whole=1"),
        (marked, "whole", None, "got None; allowed: an integer"),
        (marked, "knots", [[0, 1.0], [5, "x"]], "got 'x'; allowed: a number"),
        (marked, "knots", 3, "got 3; allowed: a list"),
        (marked, "several", [0.5, None], "got None; allowed: a number"),
        (as_texts, "length", "x", "got 'x'; allowed: a number"),
        (as_texts, "whole", 2.5, "got 2.5; allowed: an integer"),
        (plain, "flag", 0, "got 0; allowed: true or false"),
        (plain, "old", 2.5, "got 2.5; allowed: an integer"),
        (plain, "floats", 3, "got 3; allowed: a list"),
        (plain, "nested", [[1], [2.5]], "got 2.5; allowed: an integer"),
        (plain, "betas", [0.9, "x"], "got 'x'; allowed: a number"),
        (plain, "betas", [0.9, None], "got None; allowed: a number"),
        (plain, "eps", [None, "x"], "got 'x'; allowed: a number"),
        (plain, "maybe_word", "c", "got 'c'; allowed: a, b, null; do: node.maybe_word=a"),
    ],
)
def test_a_value_of_another_kind_is_one_line(function, name, value, message):
    with pytest.raises(UserError, match=rf"^node\.{name}: {message}"):
        check(function, **{name: value})


class Unannotated(torch.optim.SGD):
    """As Prodigy and many others are written: no annotations, and ints for defaults of numbers."""

    def __init__(self, params, lr=1, weight_decay=0, growth=2):
        super().__init__(params, lr=lr, weight_decay=weight_decay)
        self.growth = growth


def test_an_optimizer_whose_default_is_an_int_takes_a_float():
    node = {"_target_": f"{__name__}.Unannotated", "lr": 0.5, "weight_decay": 0.01, "growth": 1.02}
    optimizer = build.build_optimizer(node, None)
    assert optimizer.param_groups[0]["weight_decay"] == 0.01
    assert optimizer.growth == 1.02


def test_a_string_where_a_number_is_the_default_is_still_refused():
    node = {"_target_": f"{__name__}.Unannotated", "lr": 0.5, "weight_decay": "little"}
    with pytest.raises(UserError, match=r"^optimizer\.weight_decay: got 'little'; allowed: a number; do: .*=0$"):
        build.build_optimizer(node, None)
