"""Named groups take the parameters that their patterns match, each parameter once; the rest has no name."""

import pytest
import torch

from lrlab.config.groups import read_groups, split
from lrlab.errors import UserError

PARAMETERS = [
    (name, torch.zeros((2,) * (1 if name.endswith("bias") else 2), requires_grad=True))
    for name in ("backbone.0.weight", "backbone.0.bias", "backbone.1.weight", "head.weight", "head.bias")
]
NAMES = {id(parameter): name for name, parameter in PARAMETERS}


def groups(node, **settings):
    """The names of the parameters in each group that comes of `node`."""
    made = split(PARAMETERS, read_groups(node), **{"decay_bias_and_norm": True, **settings})
    return [(group.get("name"), [NAMES[id(parameter)] for parameter in group["params"]]) for group in made]


def test_a_group_takes_what_begins_with_its_name_and_the_rest_comes_first():
    assert groups({"head": {"lr_scale": 10.0}}) == [
        (None, ["backbone.0.weight", "backbone.0.bias", "backbone.1.weight"]),
        ("head", ["head.weight", "head.bias"]),
    ]


def test_patterns_say_otherwise():
    assert groups({"first": {"params": "backbone.0.*", "lr_scale": 0.1}})[1] == (
        "first",
        ["backbone.0.weight", "backbone.0.bias"],
    )
    assert groups({"biases": {"params": ["head.bias", "*.0.bias"]}})[1][1] == ["backbone.0.bias", "head.bias"]


def test_where_all_are_named_the_group_with_the_schedulers_own_lr_is_first():
    node = {"backbone": {"lr_scale": 0.1}, "head": {"lr_scale": 1.0}}
    assert [name for name, _ in groups(node)] == ["head", "backbone"]


def test_each_group_is_split_again_where_biases_do_not_decay():
    node = {"head": {"lr_scale": 10.0, "weight_decay": 0.5}}
    assert [name for name, _ in groups(node, decay_bias_and_norm=False)] == [
        None,
        "no_decay",
        "head",
        "head_no_decay",
    ]
    made = split(PARAMETERS, read_groups(node), decay_bias_and_norm=False)
    assert [group.get("weight_decay") for group in made] == [None, 0.0, 0.5, 0.0]
    assert [group.get("lr_scale") for group in made] == [None, None, 10.0, 10.0]


def test_every_parameter_is_in_one_group():
    for node in ({}, {"head": {}}, {"head": {}, "backbone": {}}, {"all": {"params": "*"}}):
        for decay in (True, False):
            taken = [name for _, names in groups(node, decay_bias_and_norm=decay) for name in names]
            assert sorted(taken) == sorted(NAMES.values())


def test_a_model_that_no_one_has_yet_has_every_group_whatever_its_patterns():
    node = read_groups({"head": {}, "first": {"params": ["x", "layer[12].*"]}})
    made = split(None, node, decay_bias_and_norm=False)
    assert [group.get("name") for group in made] == [
        None,
        *("no_decay", "head", "head_no_decay", "first", "first_no_decay"),
    ]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ([], r"optimizer\.groups: got \[\]; allowed: a mapping of names"),
        ({"head": 0.1}, r"optimizer\.groups\.head: got 0\.1; allowed: a mapping of params, lr_scale, delay"),
        (
            {"head": {"lr": 0.1}},
            r"optimizer\.groups\.head\.lr: got a setting that does not exist; allowed: params, lr_scale",
        ),
        ({"head": {"lr_scale": -1}}, r"optimizer\.groups\.head\.lr_scale: got -1; allowed: a number >= 0"),
        ({"head": {"weight_decay": "x"}}, r"optimizer\.groups\.head\.weight_decay: got 'x'"),
        ({"head": {"delay": 1.5}}, r"optimizer\.groups\.head\.delay: got 1\.5; allowed: an integer >= 0; do: .*=2ep"),
        ({"head": {"params": []}}, r"optimizer\.groups\.head\.params: got \[\]; allowed: patterns of parameter names"),
        (
            {"heat": {}},
            r"heat: got heat heat\.\*, which no .* \(did you mean head\?\); .* begin with backbone, head; do: ",
        ),
        ({"a": {"params": "*"}, "b": {"params": "head.*"}}, r"groups: got a and b, which both take head\.weight"),
    ],
)
def test_mistakes_are_named(node, message):
    with pytest.raises(UserError, match=message):
        groups(node)
