"""A run has one length, however many ways there are to say it."""

import pytest

from lrlab.config import identity, length
from lrlab.config.earlier import in_todays_words
from lrlab.errors import UserError
from lrlab.lr.horizon import Samples

BEFORE = {"seed": 0, "data": {"_target_": "m.images"}, "trainer": {"epochs": 20, "device": "auto"}}


def config(**trainer) -> dict:
    return {"trainer": {"epochs": 20, "steps": None, "budget": None, **trainer}}


@pytest.mark.parametrize(
    ("given", "typed", "kept"),
    [
        ({}, [], {"epochs": 20}),
        ({"steps": 100}, ["trainer.steps=100"], {"steps": 100}),
        ({"steps": 100}, [], {"steps": 100}),  # a YAML of the user's says it, and epochs have their default
        ({"budget": "1h"}, ["trainer.budget=1h"], {"budget": "1h"}),
        ({"steps": 100, "epochs": 5}, ["trainer.epochs=5"], {"epochs": 5}),  # what is typed goes before a recipe
        ({"steps": 100, "budget": "1h"}, ["trainer.steps=100"], {"steps": 100}),
    ],
)
def test_one_length_is_kept(given, typed, kept):
    trainer = length.with_one_length(config(**given), typed)["trainer"]
    assert {name: value for name, value in trainer.items() if value is not None} == kept


def test_two_that_are_typed_are_refused():
    with pytest.raises(UserError, match=r"trainer.steps: got 9, beside trainer.epochs=3; .* do: leave trainer.epochs "):
        length.with_one_length(config(steps=9, epochs=3), ["trainer.steps=9", "trainer.epochs=3"])


@pytest.mark.parametrize(
    ("trainer", "steps", "seconds"),
    [
        ({"epochs": 20}, 200, None),
        ({"epochs": 2.5}, 25, None),
        ({"epochs": None, "steps": 33}, 33, None),
        ({"epochs": None, "steps": "2.5ep"}, 25, None),
        ({"epochs": None, "steps": "150im"}, 15, None),
        ({"epochs": None, "steps": None, "budget": "1.5h"}, None, 5400.0),
    ],
)
def test_a_length_is_a_horizon(trainer, steps, seconds):
    horizon = length.horizon_of(trainer, 10, Samples(100, 10))
    assert horizon.budget_seconds == seconds
    assert horizon.known_epochs is None if steps is None else horizon.steps == steps


def test_a_run_from_before_there_were_such_settings_is_the_same_run_today():
    today = in_todays_words(BEFORE)
    assert {"steps", "budget", "stop_early"} <= today["trainer"].keys()
    filled = {**BEFORE, "trainer": {**BEFORE["trainer"], "steps": None, "budget": None, "stop_early": None}}
    assert identity.difference(identity.of(BEFORE), identity.of({**filled, "replay": None})) is None
    assert identity.fingerprint(identity.identity(BEFORE)) == identity.fingerprint(identity.identity(filled))


def test_what_repeats_a_run_is_no_setting_of_it():
    assert identity.identity({**BEFORE, "replay": "outputs/runs/one"}) == identity.identity(BEFORE)
