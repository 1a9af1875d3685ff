"""A model is divided between Muon and AdamW by its layers or by patterns, each group of it, at two LRs."""

import re
from pathlib import Path

import pytest
import torch
from support import composed, points, train

from lrlab import models
from lrlab.commands.preview_curves import plan_curves
from lrlab.config import build
from lrlab.config.groups import ModelParameters
from lrlab.config.prepare import prepare
from lrlab.errors import UserError
from lrlab.lr.hyperparameters import read, scale_of
from lrlab.optimizers import Muon

MODEL = models.cnn((1, 8, 8), 10, width=4)
NAMES = {id(parameter): name for name, parameter in MODEL.named_parameters()}
FILTERS = ["backbone.0.weight", "backbone.4.weight"]
REST = [name for name in NAMES.values() if name not in FILTERS]
NORMS = [name for name in REST if name.startswith("backbone")]


def node(*typed: str) -> dict:
    return dict(prepare(composed("optimizer=muon", "model=cnn", "model.width=4", *typed)).config["optimizer"])


def members(optimizer: torch.optim.Optimizer) -> dict[str | None, list[str]]:
    """The names of the parameters in each group, by its name."""
    return {
        group.get("name"): [NAMES[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups
    }


def built(*typed: str) -> torch.optim.Optimizer:
    return build.build_optimizer(node(*typed), ModelParameters.of(MODEL))


def test_filters_go_to_muon_and_the_head_norms_and_biases_to_adamw():
    optimizer = built()
    assert isinstance(optimizer, Muon)
    assert members(optimizer) == {None: FILTERS, "adamw": REST}
    assert [group["adamw"] for group in optimizer.param_groups] == [False, True]


def test_what_does_not_decay_has_a_group_of_its_own():
    found = members(built("optimizer.decay_bias_and_norm=false"))
    assert found == {None: FILTERS, "adamw": ["head.weight"], "adamw_no_decay": [*NORMS, "head.bias"]}


def test_groups_of_the_users_are_divided_as_well():
    typed = ["optimizer.groups.early.params=[backbone.0.*,backbone.1.*]", "optimizer.groups.early.lr_scale=0.5"]
    optimizer = built(*typed, "optimizer.groups.head.lr_scale=4", "optimizer.groups.head.weight_decay=0.25")
    assert members(optimizer) == {
        None: ["backbone.4.weight"],
        "adamw": ["backbone.5.weight", "backbone.5.bias"],
        "early": ["backbone.0.weight"],
        "early_adamw": ["backbone.1.weight", "backbone.1.bias"],
        "head_adamw": ["head.weight", "head.bias"],
    }
    scales = {group.get("name"): scale_of(group) for group in optimizer.param_groups}
    share = 0.003 / 0.01
    expected = {None: 1, "adamw": share, "early": 0.5, "early_adamw": share / 2, "head_adamw": 4 * share}
    assert scales == pytest.approx(expected)
    decays = {group.get("name"): group["weight_decay"] for group in optimizer.param_groups}
    assert decays == {None: 0.1, "adamw": 0.01, "early": 0.1, "early_adamw": 0.01, "head_adamw": 0.25}


@pytest.mark.parametrize(
    ("patterns", "matrices"),
    [
        ("[head*]", FILTERS),
        ("[]", [*FILTERS, "head.weight"]),
        ("[backbone.0.*,head.*]", ["backbone.4.weight"]),
        ("['*.weight']", []),
    ],
)
def test_patterns_decide_in_place_of_the_layers(patterns, matrices):
    found = members(built(f"optimizer.adamw={patterns}"))
    assert found.get(None, []) == matrices
    assert sorted(found["adamw"]) == sorted(set(NAMES.values()) - set(matrices))


def test_a_model_without_hidden_layers_is_adamws_at_its_lr():
    model = models.linear((1, 8, 8), 10)
    optimizer = build.build_optimizer(node(), ModelParameters.of(model))
    [group] = optimizer.param_groups
    assert group["name"] == "adamw"
    assert read(optimizer)["lr"] == 0.01


def test_where_no_one_knows_the_layers_all_matrices_are_muons():
    optimizer = build.build_optimizer(node(), MODEL.named_parameters())
    assert members(optimizer)[None] == [*FILTERS, "head.weight"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("optimizer.adamw=[hed.*]", r"optimizer\.adamw: got hed\.\*, which no parameter .*=\[head\.\*\]"),
        ("optimizer.adamw=head", r"optimizer\.adamw: got 'head'; allowed: a list of patterns .*=\[head\.\*\]"),
        ("optimizer.adamw_lr=0", r"optimizer\.adamw_lr: got 0; allowed: a number > 0; do: optimizer\.adamw_lr=0\.001"),
        ("optimizer.momentum=1", r"optimizer\.momentum: got 1; allowed: from 0 to 1, .*; do: optimizer\.momentum=0"),
        ("optimizer.ns_dtype=fp8", r"optimizer\.ns_dtype: got 'fp8'; allowed: float32, bfloat16, null; do: "),
        ("optimizer.adjust_lr_fn=none", r"optimizer\.adjust_lr_fn: got 'none'; allowed: original, match_rms_adamw, "),
        (
            "optimizer.groups.adamw.params=[backbone.*]",
            r"optimizer\.groups\.adamw: got adamw, which is what .* called that AdamW updates; allowed: another name",
        ),
        ("optimizer=adamw optimizer.adamw=[head.*]", r"optimizer\.adamw: got a setting that does not exist"),
        ("optimizer._target_=torch.optim.Muon", r"which does not divide a model itself .*; do: optimizer=muon,"),
    ],
)
def test_what_cannot_be_is_one_line(typed, said):
    with pytest.raises(UserError, match=said) as refused:
        prepare(composed("optimizer=muon", "model=cnn", "model.width=4", *typed.split()))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("scheduler", ["cosine", "onecycle", "warmup_cosine", "cyclic", "step"])
@pytest.mark.parametrize("groups", [(), ("optimizer.groups.head.lr_scale=4", "optimizer.decay_bias_and_norm=false")])
def test_both_lrs_are_one_relative_schedule_and_the_preview_has_both(scheduler, groups):
    typed = ["optimizer=muon", f"scheduler={scheduler}", "trainer.epochs=3", *groups]
    trained = prepare(composed(*typed)).plan
    [previewed] = plan_curves(typed, None)
    assert previewed.plan is not None
    assert "lr/adamw" in previewed.plan.curves
    for name, values in trained.curves.items():
        assert previewed.plan.curves[name] == values, name
    name = "lr/head_adamw" if groups else "lr/adamw"
    ratio = (4 if groups else 1) * 0.003 / 0.01
    assert trained.curves[name] == pytest.approx([ratio * lr for lr in trained.lrs])


def test_both_lrs_are_in_tensorboard_and_the_start_says_what_goes_where(command):
    done = command("optimizer=muon", "optimizer.adamw_lr=0.02", "trainer.epochs=1", "hydra.run.dir=run")
    assert done.code == 0, done.err
    assert re.search(
        r"^optimizer  muon: Muon, lr 0\.01, adamw_lr 0\.02, momentum 0\.95, weight_decay 0\.1$", done.out, re.M
    )
    assert "\nmuon       2 matrices: backbone.0.weight, backbone.4.weight\n" in done.out
    assert (
        "\nadamw      6 tensors: head.weight, backbone.1.weight, backbone.1.bias, backbone.5.weight and 2 more\n"
        in done.out
    )
    recorded = points(Path("run"))
    for (_, lr), (_, other) in zip(recorded["lr"], recorded["lr/adamw"], strict=True):
        assert other == pytest.approx(2 * lr)


def test_momentum_and_weight_decay_of_both_follow_their_schedules(tmp_path):
    typed = ["optimizer.schedule.weight_decay=linear", "optimizer.schedule.momentum=cosine", "trainer.epochs=2"]
    summary = train(tmp_path, "optimizer=muon", *typed)
    assert summary["audit"]["equal"]
    recorded = points(tmp_path)
    assert [value for _, value in recorded["weight_decay"]][::21] == pytest.approx([0.1, 0.05])
    assert [value for _, value in recorded["weight_decay/adamw"]][::21] == pytest.approx([0.01, 0.005])
    assert [value for _, value in recorded["momentum"]][::21] == pytest.approx([0.95, 0.475])


def test_a_range_test_raises_both_lrs_and_suggests_both(enter):
    from lrlab.commands import find_lr

    typed = ["optimizer=muon", "optimizer.adamw_lr=0.02", "model=mlp"]
    done = enter(find_lr.main, *typed, "find_lr.seeds=1", "find_lr.updates=60")
    assert done.code == 0, done.err
    [lr, other] = re.search(r"^optimizer\.lr=(\S+) optimizer\.adamw_lr=(\S+)  \(median of 1", done.out, re.M).groups()
    assert float(other) == pytest.approx(2 * float(lr))
    assert f" optimizer=muon model=mlp optimizer.lr={lr} optimizer.adamw_lr={other}\n" in done.out
