"""Names from other tools lead to the names here, and what is said to do can be done."""

import re

import pytest
from support import composed

import lrlab
from lrlab.config import catalogue, mistakes, other_names
from lrlab.errors import UserError

LENGTHS = {"epochs": 30, "steps_per_epoch": 10}
# A number that the setting of others may have, and what is the same here.
SAID = {
    **dict.fromkeys(("warmup_epochs", "decay_epochs"), (2, "2ep")),
    **dict.fromkeys(("warmup_steps", "num_warmup_steps", "warmup_iters", "num_decay_steps"), (20, "20st")),
    **dict.fromkeys(("cooldown_steps", "decay_steps"), (20, "20st")),
    **dict.fromkeys(("warmup_ratio", "decay_ratio", "cooldown_ratio"), (0.1, "10%")),
}
# What a setting is called here, by what it is.
KINDS = {
    "a warm-up": ({"warmup", "steps"}, other_names._WARMUPS),
    "a base LR": ({"lr"}, ("learning_rate", "base_lr", "init_lr", "initial_lr", "peak_lr", "max_lr")),
    "epochs": ({"epochs"}, ("num_epochs", "max_epochs", "n_epochs", "num_train_epochs")),
    "updates": ({"total_steps"}, ("num_training_steps", "max_steps", "num_steps")),
    "the lowest LR": ({"eta_min", "min_lr", "base_lr"}, ("lr_min", "min_lr", "eta_min", "end_lr", "final_lr")),
    "the lowest share": ({"floor"}, ("min_lr_ratio", "lr_min_ratio")),
    "a decay": ({"decay", "step_size"}, ("num_decay_steps", "cooldown_steps", "decay_ratio", "cooldown_ratio")),
    "when it decays": ({"decay", "step_size"}, ("decay_steps", "decay_epochs")),
    "by how much": ({"gamma"}, ("decay_rate",)),
}
WARMS_UP = "choose scheduler=warmup_cosine, or another warmup_*, whose warm-up is scheduler.lr_lambda.steps"
EVERY_NAME = [(kind, name) for kind, (_, names) in KINDS.items() for name in names]


def test_every_name_has_a_kind_and_every_schedule_exists():
    assert {name for _, name in EVERY_NAME} == set(other_names._SETTINGS)
    assert set(other_names._SCHEDULES.values()) <= set(catalogue.options("scheduler"))
    assert not set(other_names._SCHEDULES) & set(catalogue.options("scheduler"))


@pytest.mark.parametrize(("kind", "name"), EVERY_NAME)
def test_a_name_from_elsewhere_leads_to_the_same_thing_or_to_nothing_in_every_schedule(kind, name):
    given, same = SAID.get(name, (0.02, "0.02"))
    for option in lrlab.schedule_names():
        try:
            lrlab.schedule(option, lr=0.1, **LENGTHS, **{name: given})
        except ValueError as error:
            if error.key != name or "does not have" not in error.got:
                continue  # it has one of this name
            do = error.do
        else:
            continue
        meant, _, value = do.partition("=")
        if do.startswith("leave "):
            assert ("such as warmup_cosine" in do) is (kind == "a warm-up"), (option, do)
            continue
        assert meant in KINDS[kind][0] or "..., a" in value, (option, do)
        if meant == "steps":
            assert other_names.RAMP in str(catalogue.option("scheduler", option, {"optimizer.lr": 0.1})), (option, do)
        if value.startswith("..."):  # an LR where a share is meant, or the other way round
            assert kind in ("the lowest LR", "the lowest share"), (option, do)
            assert ("share of the base LR" in value) is (kind == "the lowest LR"), (option, do)
            continue
        assert value.strip('"') == same, (option, do)
        if meant not in ("epochs", "total_steps"):  # lengths, of which 0.02 is none
            lrlab.schedule(option, **{"lr": 0.1, **LENGTHS, meant: value.strip('"') if '"' in value else float(value)})


@pytest.mark.parametrize("name", sorted(other_names._SCHEDULES))
def test_a_schedule_by_its_name_elsewhere_is_guessed(name):
    meant = other_names._SCHEDULES[name]
    error = mistakes.unknown_option(f"scheduler/{name}", catalogue.options("scheduler"))
    assert error.do == f"scheduler={meant}"
    said = f"did you mean {meant}" if meant in lrlab.schedule_names() else f"{meant}, which follows a metric"
    for written in (name, name.upper(), name.replace("_", "-")):
        with pytest.raises(ValueError, match=said):
            lrlab.schedule(written, lr=0.1, epochs=30)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("get_cosine_schedule_with_warmup", "warmup_cosine"),
        ("linear_schedule_with_warmup", "warmup_linear"),
        ("get_wsd_schedule", "wsd"),
        ("get_inverse_sqrt_schedule", "inverse_sqrt"),
        ("ReduceLROnPlateau", "plateau"),
    ],
)
def test_a_function_of_transformers_is_its_schedule(name, meant):
    assert other_names.schedule(name, catalogue.options("scheduler")) == meant


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
        ("scheduler=linear trainer.max_steps=100", "trainer.steps=100"),
        ("trainer.warmup_epochs=2", WARMS_UP),
        ("scheduler=warmup_cosine trainer.warmup_epochs=2.5", "scheduler.lr_lambda.steps=2.5ep"),
        ("scheduler=warmup_cosine warmup_ratio=1e-1", "scheduler.lr_lambda.steps=10%"),
        ("scheduler=wsd scheduler.min_lr=0.001", "scheduler.lr_lambda.floor=VALUE, a share of the base LR"),
        ("scheduler=cosine scheduler.min_lr_ratio=0.1", "scheduler.eta_min=VALUE, an LR, and no share of one"),
        ("num_train_epochs=20", "trainer.epochs=20"),
    ],
)
def test_a_setting_by_its_name_elsewhere_leads_to_one_that_works(typed, do):
    *before, wrong = typed.split()
    with pytest.raises(UserError) as caught:
        composed(*before, wrong)
    assert caught.value.do == do
    if "VALUE" not in do and "choose" not in do:
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
