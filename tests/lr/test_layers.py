"""The layers of a model are its blocks and what lies around them, the deepest first; each parameter is in one."""

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from lrlab import language_models, models
from lrlab.lr.layers import depths_of, layers_of


class Stack(nn.Module):
    """Embedding, blocks, norm, as a half of T5 is."""

    def __init__(self, embedding):
        super().__init__()
        self.embedding = embedding
        self.block = nn.ModuleList([nn.TransformerEncoderLayer(4, 1) for _ in range(2)])
        self.norm = nn.LayerNorm(4)


class T5(nn.Module):
    """An encoder and a decoder of one class, with one embedding."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Embedding(3, 4)
        self.encoder, self.decoder = Stack(self.shared), Stack(self.shared)
        self.head = nn.Linear(4, 3)


class GPT(nn.Module):
    """Two embeddings, blocks, a last norm, and an output that shares the weights of the first embedding."""

    def __init__(self):
        super().__init__()
        blocks = nn.ModuleList([nn.TransformerEncoderLayer(4, 1) for _ in range(2)])
        self.body = nn.ModuleDict(
            {"tokens": nn.Embedding(9, 4), "places": nn.Embedding(5, 4), "h": blocks, "norm": nn.LayerNorm(4)}
        )
        self.head = nn.Linear(4, 9, bias=False)
        self.head.weight = self.body["tokens"].weight


class Positions(nn.Module):
    """Parameters beside modules, with no module before the first block."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(5, 4))
        self.blocks = nn.Sequential(*(nn.TransformerEncoderLayer(4, 1) for _ in range(2)))
        self.last = nn.Parameter(torch.zeros(4, 4))
        self.head = nn.Linear(4, 9)


def blocks(path, count):
    return [f"{path}{index}" for index in range(count)]


RESNET18 = ["conv1", *(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)), "fc"]
MODELS = {
    "linear": (partial(models.linear, (1, 8, 8), 10), ["head"]),
    "mlp": (partial(models.mlp, (1, 8, 8), 10, hidden=(5, 6)), ["backbone.1", "backbone.4", "head"]),
    "cnn": (partial(models.cnn, (1, 8, 8), 10), ["backbone.0", "backbone.4", "head"]),
    "resnet20": (
        partial(models.resnet_cifar, (3, 32, 32), 10),
        ["backbone.0", *(f"backbone.{index}" for index in range(3, 12)), "head"],
    ),
    "resnet18": (partial(get_model, "resnet18"), RESNET18),
    "resnet18 on grey images": (
        partial(models.torchvision_model, (1, 32, 32), 10),
        [f"1.{name}" for name in RESNET18],
    ),
    "vit_b_16": (
        partial(get_model, "vit_b_16"),
        ["conv_proj", *blocks("encoder.layers.encoder_layer_", 12), "heads.head"],
    ),
    "squeezenet": (
        partial(get_model, "squeezenet1_1"),
        ["features.0", *(f"features.{index}" for index in (3, 4, 6, 7, 9, 10, 11, 12)), "classifier.1"],
    ),
    "T5": (T5, ["shared", *blocks("encoder.block.", 2), *blocks("decoder.block.", 2), "head"]),
    "GPT": (GPT, ["body.tokens", *blocks("body.h.", 2), "body.norm"]),
    "transformer of one block": (
        partial(language_models.transformer, (32,), 9, width=8, depth=1, heads=2),
        ["embedding", "blocks.0", "head"],
    ),
    "transformer of two blocks": (
        partial(language_models.transformer, (32,), 9, width=8, depth=2, heads=2),
        ["embedding", "blocks.0", "blocks.1", "head"],
    ),
    "one model in a list": (
        lambda: nn.ModuleList([get_model("resnet18")]),
        [f"0.{name}" for name in RESNET18],
    ),
    "positions": (Positions, ["positions", *blocks("blocks.", 2), "head"]),
    "recurrent": (
        lambda: nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 4, 2), nn.MultiheadAttention(4, 1), nn.Linear(4, 2)),
        ["0", "1", "2", "3"],
    ),
    "one module": (partial(nn.Linear, 2, 2), [""]),
    "nothing to learn": (nn.Identity, []),
}


@pytest.mark.parametrize("name", MODELS)
def test_layers_are_found_in_order_and_hold_every_parameter_once(name):
    make, expected = MODELS[name]
    model = make()
    layers = layers_of(model)
    assert [layer.name for layer in layers] == expected
    taken = [one for layer in layers for one in layer.parameters]
    assert sorted(taken) == sorted(one for one, _ in model.named_parameters())
    depths = depths_of(layers)
    assert set(depths) == set(taken)
    if layers:
        assert {depths[one] for one in layers[-1].parameters} == {0}
        assert {depths[one] for one in layers[0].parameters} == {len(layers) - 1}


@pytest.mark.slow
def test_norms_belong_to_what_they_normalize():
    cnn = {layer.name: layer.parameters for layer in layers_of(models.cnn((1, 8, 8), 10))}
    assert cnn["backbone.0"] == ["backbone.0.weight", "backbone.1.weight", "backbone.1.bias"]
    vit = {layer.name: layer.parameters for layer in layers_of(get_model("vit_b_16"))}
    assert set(vit["heads.head"]) == {
        *("encoder.ln.weight", "encoder.ln.bias", "heads.head.weight", "heads.head.bias"),
    }


@pytest.mark.slow
def test_class_tokens_and_positions_are_as_deep_as_the_embedding():
    vit = layers_of(get_model("vit_b_16"))[0]
    assert {"class_token", "conv_proj.weight", "encoder.pos_embedding"} <= set(vit.parameters)
    gpt = layers_of(GPT())[0]
    assert gpt.parameters == ["body.tokens.weight", "body.places.weight"]
