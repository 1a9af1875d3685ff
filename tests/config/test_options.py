"""Settings that lrlab reads itself: one way to declare them, to read them, to refuse them and to describe them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from lrlab.config import options
from lrlab.errors import UserError


@dataclass(frozen=True)
class Settings:
    count: int = options.option(3, options.whole(low=1, example=3), "how many")
    share: float = options.option(0.5, options.number(above=0, example=0.5), "how much")
    fast: bool = options.option(False, options.flag(), "whether")
    axis: str = options.option("x", options.choice(lambda: ("x", "y")), "which")
    name: str | None = options.option(None, options.text(), "called what", shown="NAME")
    place: Path | None = options.option(None, options.folder(), "where", shown="FOLDER")
    drawn: str | None = options.option(None, options.file(".png", ".svg"), "a figure", shown="curves.png")


def read(**typed: str) -> Settings:
    return options.read(Settings, typed, "own")


def test_texts_become_the_values_that_they_mean():
    said = read(count="7", share="1e-3", fast="True", axis="y", name="a b", place="some/where", drawn="x.svg")
    assert said == Settings(7, 0.001, True, "y", "a b", Path("some/where"), "x.svg")


def test_what_is_not_typed_or_null_is_the_default():
    assert read() == Settings()
    assert read(count="null", name="null", drawn="null") == Settings()


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (
            {"cuont": "1"},
            "own.cuont: got a setting that does not exist (did you mean own.count?); allowed: count, share, ",
        ),
        ({"count": "0"}, "own.count: got 0; allowed: an integer >= 1; do: own.count=3"),
        ({"count": "2.5"}, "own.count: got '2.5'; allowed: an integer >= 1; do: own.count=3"),
        ({"share": "nan"}, "own.share: got nan; allowed: a number > 0; do: own.share=0.5"),
        ({"share": "much"}, "own.share: got 'much'; allowed: a number > 0; do: own.share=0.5"),
        ({"fast": "yes"}, "own.fast: got 'yes'; allowed: true or false; do: own.fast=true"),
        ({"axis": "z"}, "own.axis: got 'z'; allowed: x, y; do: own.axis=x"),
        (
            {"drawn": "x.gif"},
            "own.drawn: got x.gif; allowed: a name that ends with .png, .svg; do: own.drawn=curves.png",
        ),
        (
            {"drawn": "no/x.png"},
            "own.drawn: got no, which is no folder; allowed: a folder that exists; do: make it first",
        ),
    ],
)
def test_what_is_not_allowed_is_told_in_three_parts(typed, line):
    with pytest.raises(UserError) as error:
        read(**typed)
    assert str(error.value).startswith(line)


def test_values_of_a_config_are_checked_as_they_are():
    assert options.check(Settings, {"count": 2, "name": None}, "own") == Settings(count=2)
    for given, line in (({"count": "2"}, "own.count: got '2'"), ({"count": None}, "own.count: got None")):
        with pytest.raises(UserError, match=line):
            options.check(Settings, given, "own")


def test_help_says_how_to_type_each_and_what_it_is():
    assert options.rows(Settings, "own") == [
        ("own.count=3", "how many"),
        ("own.share=0.5", "how much"),
        ("own.fast=false", "whether"),
        ("own.axis=x", "which"),
        ("own.name=NAME", "called what"),
        ("own.place=FOLDER", "where"),
        ("own.drawn=curves.png", "a figure"),
    ]
