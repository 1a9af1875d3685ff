"""What is read of an override without Hydra is what Hydra reads."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lrlab.config import compose, secrets
from lrlab.config.variations import _plain_setting
from lrlab.errors import UserError

WRITTEN = ["0", "-1", "007", "-0", "1.", ".5", "1e5", "1E-5", "1e", "1_000", "25%", "5ep", "inf", "nan", "null", "true"]


def as_hydra_reads(text: str) -> object:
    try:
        return compose.parse([f"optimizer.lr={text}"])[0].value()
    except UserError:
        return UserError


@given(st.from_regex(r"-?[0-9]{0,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{1,2})?", fullmatch=True))
@example("-0.0")
@example("1234567890123456789")
def test_a_number_is_what_hydra_reads(text):
    for key, value in _plain_setting(f"optimizer.lr={text}"):
        assert (key, repr(value)) == ("optimizer.lr", repr(as_hydra_reads(text)))


@pytest.mark.parametrize("text", WRITTEN)
def test_a_word_is_what_hydra_reads(text):
    for _, value in _plain_setting(f"optimizer.lr={text}"):
        assert repr(value) == repr(as_hydra_reads(text))


@pytest.mark.parametrize(
    "override",
    [
        *("+optimizer.lr=1", "++optimizer.lr=1", "~optimizer.lr", "optimizer.lr", "optimizer.lr=", "scheduler=step"),
        *("hydra.sweep.dir=x", "optimizer@x.lr=1", "optimizer._target_=a.B", "optimizer.lr=${seed}", "sweep=1"),
        *("optimizer.lr='1'", "optimizer.lr=[1]", "optimizer.lr={a:1}", "optimizer.lr=1,2", "seed=x"),
        *("optimizer.groups.head.schedule=linear", "optimizer.schedule.momentum=linear"),
    ],
)
def test_every_other_override_is_composed_by_hydra(override):
    assert _plain_setting(override) == []


@given(
    st.dictionaries(st.sampled_from(["api_key", "HF_TOKEN", "lr", "passwd", "num_tokens"]), st.integers() | st.none())
)
def test_where_no_word_of_a_secret_is_nothing_is_masked(config):
    if not secrets.may_be_in(config):
        assert secrets.mask(config) == config
