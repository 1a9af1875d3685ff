"""The LR of a layer is the scheduler's times decay^k, k layers before the output, in every way to train a run."""

import pytest
import torch
from support import StopAt, composed, history, points, same_weights, summary, train, weights

from lrlab import models
from lrlab.commands.preview_curves import plan_curves
from lrlab.config import build, compose
from lrlab.config.groups import ModelParameters
from lrlab.config.prepare import plan_only, prepare
from lrlab.lr.layers import depths_of, layers_of
from lrlab.runs import checkpoint

DEEP = ("model=mlp", "model.hidden=[12,12,12]", "data.batch_size=256", "trainer.epochs=4")
NET = models.mlp((1, 8, 8), 10, hidden=(12, 12, 12))


def lrs(*typed, model=NET):
    """The LR of every parameter at the start, by name, and the groups that they are in."""
    optimizer = build.build_optimizer(compose.plain(composed(*typed))["optimizer"], ModelParameters.of(model))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    scales = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            scales[names[id(parameter)]] = group["lr"] * group.get("lr_scale", 1.0)
    return scales, [group.get("name") for group in optimizer.param_groups]


@pytest.mark.parametrize("decay", [0.75, 0.5, 1.0])
@pytest.mark.parametrize("model", [NET, models.resnet_cifar((3, 32, 32), 10), models.cnn((1, 8, 8), 10)])
@pytest.mark.parametrize("split", [True, False])
def test_every_parameter_has_the_lr_of_its_layer(decay, model, split):
    typed = [f"optimizer.layer_decay={decay}", f"optimizer.decay_bias_and_norm={str(split).lower()}"]
    found, groups = lrs(*typed, model=model)
    depths = depths_of(layers_of(model))
    assert found == {name: 0.02 * decay**depth for name, depth in depths.items()}
    layers = 1 if decay == 1 else max(depths.values()) + 1
    assert len(groups) <= layers * (1 if split else 2)  # those of one LR share a group
    assert groups[0] is None  # the output's layer, whose LR is the scheduler's own
    assert len(set(groups)) == len(groups)


def test_a_named_group_multiplies_the_factor_of_the_layer():
    typed = ["optimizer.layer_decay=0.5", "optimizer.groups.b.params=['*.bias']", "optimizer.groups.b.lr_scale=2"]
    found, groups = lrs(*typed)
    for name, depth in depths_of(layers_of(NET)).items():
        assert found[name] == 0.02 * 0.5**depth * (2 if name.endswith("bias") else 1)
    assert set(groups) == {None, "layer_0", "layer_1", "layer_2", "b", "b_layer_0", "b_layer_1", "b_layer_2"}


def test_frozen_parameters_are_counted_and_not_trained():
    model = models.mlp((1, 8, 8), 10, hidden=(12, 12, 12))
    model.backbone[1].requires_grad_(requires_grad=False)
    found, _ = lrs("optimizer.layer_decay=0.5", model=model)
    everything, _ = lrs("optimizer.layer_decay=0.5")
    assert found == {name: lr for name, lr in everything.items() if not name.startswith("backbone.1.")}


def test_a_decay_of_one_is_none(tmp_path):
    train(tmp_path / "one", *DEEP, "optimizer.layer_decay=1.0")
    train(tmp_path / "none", *DEEP)
    assert same_weights(weights(tmp_path / "one"), weights(tmp_path / "none"))
    assert points(tmp_path / "one").keys() == points(tmp_path / "none").keys()


RUNS = {
    "plain": ["scheduler=cosine"],
    "split": ["scheduler=warmup_cosine", "optimizer.decay_bias_and_norm=false", "optimizer=adamw"],
    "with a group": ["scheduler=onecycle", "optimizer.groups.head.schedule=linear"],
    "by metric": ["scheduler=warmup_plateau", "scheduler.patience=0", "scheduler.threshold=0.9"],
}


@pytest.mark.parametrize("which", RUNS)
def test_it_is_planned_recorded_audited_resumed_and_extended(command, tmp_path, which):
    typed = [*DEEP, "optimizer.layer_decay=0.5", *RUNS[which]]
    train(tmp_path / "whole", *typed)
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, 15, 9)
        command(*typed, "hydra.run.dir=stopped")
    assert command("resume=stopped").code == 0
    assert same_weights(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))
    assert history(tmp_path / "stopped") == history(tmp_path / "whole")
    recorded = {tag: [value for _, value in found] for tag, found in points(tmp_path / "stopped").items()}
    for layer in range(3):
        assert recorded[f"lr/layer_{layer}"] == pytest.approx([lr * 0.5 ** (3 - layer) for lr in recorded["lr"]])
    assert summary(tmp_path / "stopped")["audit"]["equal"]
    assert command("resume=stopped", "extend=6").code == 0
    longer = summary(tmp_path / "stopped")["audit"]
    assert (longer["equal"], longer["updates"]) == (True, 36)


def test_the_start_of_a_run_lists_the_layers(command):
    done = command(*DEEP[:3], "trainer.epochs=1", "optimizer.layer_decay=0.5")
    [line] = [line for line in done.out.splitlines() if line.startswith("layers ")]
    told = "backbone.1 0.125, backbone.4 0.25, backbone.7 0.5, head 1"
    assert line.split(maxsplit=1)[1] == f"4, each with 0.5 times the LR of the one after it: {told}"


def test_the_preview_builds_the_model_and_plans_what_is_trained():
    typed = [*DEEP, "optimizer.layer_decay=0.5"]
    [curve] = plan_curves(typed, None)
    assert curve.plan == prepare(compose.compose(typed)).plan
    assert {name for name in curve.plan.curves if name.startswith("lr/")} == {f"lr/layer_{k}" for k in range(3)}
    grey = ["data=mnist", "model=torchvision", "model.name=resnet18", "optimizer.layer_decay=0.9"]
    plan, _ = plan_only(composed(*grey, "data.root=/nowhere"))  # nothing is read, nor fetched
    assert len([name for name in plan.curves if name.startswith("lr/")]) == 9


def test_a_vision_transformer_has_a_layer_a_block():
    from torchvision.models import vision_transformer

    vit = vision_transformer.VisionTransformer(8, 4, 3, 2, 8, 16, num_classes=10)
    found, groups = lrs("optimizer.layer_decay=0.5", model=vit)
    assert len(groups) == 5  # embedding, three blocks, head
    assert found["class_token"] == found["encoder.pos_embedding"] == found["conv_proj.weight"] == 0.02 * 0.5**4
    assert found["encoder.ln.weight"] == found["heads.head.weight"] == 0.02


def test_a_run_from_before_is_one_without_it(command, tmp_path):
    train(tmp_path / "run", *DEEP)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    saved = checkpoint.load(path)
    del saved["config"]["optimizer"]["layer_decay"]
    torch.save(saved, path)
    refused = command("resume=run", "extend=5", "optimizer.layer_decay=0.5")
    assert "optimizer.layer_decay: got a setting that the run does not have" in refused.err
    assert command("resume=run", "extend=5").code == 0
