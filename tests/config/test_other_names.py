"""Names from other tools lead to the names here, and what is said to do can be done."""

import re

import pytest
from support import composed

import lrlab
from lrlab.config import catalogue, mistakes, nodes, other_names
from lrlab.errors import UserError


def every_setting() -> set[str]:
    """The last name of every setting of a schedule, with the arguments that `lrlab.schedule` takes."""
    found = {"lr", "epochs", "steps_per_epoch", "total_steps"}
    for name in catalogue.options("scheduler"):
        found |= {path[-1] for path in nodes._paths(catalogue.option("scheduler", name, {"optimizer.lr": 0.1}))}
    return found


def test_every_name_leads_to_one_that_there_is():
    assert set(other_names._SCHEDULES.values()) <= set(catalogue.options("scheduler"))
    assert not set(other_names._SCHEDULES) & set(catalogue.options("scheduler"))
    meant = {one for several in other_names._SETTINGS.values() for one in several}
    assert meant <= every_setting()
    assert set(other_names._UNITS) | set(other_names._SHARES) <= set(other_names._SETTINGS)


@pytest.mark.parametrize("name", sorted(other_names._SCHEDULES))
def test_a_schedule_by_its_name_elsewhere_is_guessed(name):
    meant = other_names._SCHEDULES[name]
    error = mistakes.unknown_option(f"scheduler/{name}", catalogue.options("scheduler"))
    assert error.do == f"scheduler={meant}"
    if meant in lrlab.schedule_names():
        with pytest.raises(ValueError, match=f"did you mean {meant}"):
            lrlab.schedule(name, lr=0.1, epochs=30)


@pytest.mark.parametrize(
    ("typed", "do"),
    [
        ("scheduler=warmup_cosine scheduler.warmup=5", "scheduler.lr_lambda.steps=5"),
        ("scheduler=warmup_linear scheduler.warmup_epochs=5", "scheduler.lr_lambda.steps=5ep"),
        ("scheduler=warmup_cosine scheduler.lr_lambda.num_warmup_steps=20", "scheduler.lr_lambda.steps=20st"),
        ("scheduler=warmup_polynomial scheduler.warmup_ratio=0.1", "scheduler.lr_lambda.steps=10%"),
        ("scheduler=wsd scheduler.warmup_ratio=.05", "scheduler.lr_lambda.warmup=5%"),
        ("scheduler=wsd scheduler.num_decay_steps=50", "scheduler.lr_lambda.decay=50st"),
        ("scheduler=cosine scheduler.min_lr=0.001", "scheduler.eta_min=0.001"),
        ("scheduler=step scheduler.decay_epochs=5", "scheduler.step_size=5ep"),
        ("scheduler=exponential scheduler.decay_rate=0.9", "scheduler.gamma=0.9"),
        ("scheduler=cosine scheduler.peak_lr=0.2", "optimizer.lr=0.2"),
        ("optimizer.learning_rate=0.2", "optimizer.lr=0.2"),
        ("trainer.max_epochs=20", "trainer.epochs=20"),
        ("num_train_epochs=20", "trainer.epochs=20"),
    ],
)
def test_a_setting_by_its_name_elsewhere_leads_to_one_that_works(typed, do):
    *before, wrong = typed.split()
    with pytest.raises(UserError) as caught:
        composed(*before, wrong)
    assert caught.value.do == do
    composed(*before, do)


@pytest.mark.parametrize("name", ["cosine", "inverse_time", "untuned_warmup_cosine", "step"])
def test_a_schedule_without_a_warmup_leads_to_one_that_has_it(name):
    with pytest.raises(UserError, match="choose scheduler=warmup_cosine, or another warmup_") as caught:
        composed(f"scheduler={name}", "scheduler.warmup=5")
    assert "scheduler.lr_lambda.steps" in str(caught.value.do)
    composed("scheduler=warmup_cosine", "scheduler.lr_lambda.steps=5")


@pytest.mark.parametrize(
    ("name", "settings", "do"),
    [
        ("cosine", {"learning_rate": 0.1}, "lr=0.1"),
        ("wsd", {"learning_rate": 0.1}, "lr=0.1"),
        ("warmup_cosine", {"max_lr": 0.1}, "lr=0.1"),
        ("warmup_cosine", {"warmup_ratio": 0.1}, 'steps="10%"'),
        ("warmup_linear", {"num_warmup_steps": 100}, 'steps="100st"'),
        ("wsd", {"warmup_epochs": 2}, 'warmup="2ep"'),
        ("cosine", {"min_lr": 0.01}, "eta_min=0.01"),
    ],
)
def test_an_argument_by_its_name_elsewhere_leads_to_one_that_works(name, settings, do):
    lengths = {"epochs": 30, "steps_per_epoch": 10}
    with pytest.raises(ValueError, match=r"did you mean") as caught:
        lrlab.schedule(name, **lengths, **settings)
    assert caught.value.do == do
    argument, value = re.fullmatch(r'(\w+)="?([^"]+)"?', do).groups()
    meant = float(value) if value.replace(".", "").isdigit() else value
    assert len(lrlab.schedule(name, **lengths, **{argument: meant})) == 300


@pytest.mark.parametrize("name", ["num_training_steps", "max_steps", "num_steps"])
def test_a_length_by_its_name_elsewhere_is_guessed(name):
    with pytest.raises(ValueError, match="do: total_steps=300"):
        lrlab.schedule("cosine", lr=0.1, **{name: 300})


@pytest.mark.parametrize(
    ("written", "meant"),
    [("2epochs", "2ep"), ("2 ep", "2ep"), ("10 %", "10%"), ("50steps", "50st"), ("25percent", "25%"), ("-5ep", "25%")],
)
def test_a_duration_in_words_leads_to_one_that_works(written, meant):
    lengths = {"lr": 0.1, "epochs": 30, "steps_per_epoch": 10}
    with pytest.raises(ValueError, match="which is no duration") as caught:
        lrlab.wsd(decay=written, **lengths)
    assert caught.value.do == f'decay="{meant}"'
    lrlab.wsd(decay=meant, **lengths)
