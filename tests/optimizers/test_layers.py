"""Weights of hidden layers are told from embeddings, the last layer, and what only has the form of a matrix."""

import pytest
import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from lrlab import models
from lrlab.config.groups import ModelParameters
from lrlab.optimizers.layers import hidden_weights, is_matrix


class Text(nn.Module):
    """A small language model, with a head of its own or the embedding's table."""

    def __init__(self, *, tied: bool):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.positions = nn.Parameter(torch.zeros(16, 8))
        self.attention = nn.MultiheadAttention(8, 2)
        self.block = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 20, bias=False)
        if tied:
            self.head.weight = self.embed.weight


class Own(nn.Module):
    """Layers of a user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 6))
        self.scale_weight = nn.Parameter(torch.zeros(1, 6))
        self.table = nn.Parameter(torch.zeros(4, 6))
        self.lstm = nn.LSTM(6, 4)
        self.head = nn.Linear(4, 2)


VIT = {"image_size": 32, "patch_size": 8, "num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
SHAPE = (1, 8, 8)
OF_TEXT = {"attention.in_proj_weight", "attention.out_proj.weight", "block.1.weight", "block.3.weight"}
ATTENTION, MLP = (f"encoder.layers.encoder_layer_0.{part}" for part in ("self_attention", "mlp"))
EXPECTED = {
    "linear": (lambda: models.linear(SHAPE, 10), set()),
    "mlp": (lambda: models.mlp(SHAPE, 10, [8, 8]), {"backbone.1.weight", "backbone.4.weight"}),
    "cnn": (lambda: models.cnn(SHAPE, 10), {"backbone.0.weight", "backbone.4.weight"}),
    "text": (lambda: Text(tied=False), OF_TEXT),
    "tied": (lambda: Text(tied=True), OF_TEXT),
    "own": (Own, {"weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0"}),
    "vit": (
        lambda: VisionTransformer(**VIT, num_classes=3),
        {
            "conv_proj.weight",
            *(f"{ATTENTION}.{name}" for name in ("in_proj_weight", "out_proj.weight")),
            *(f"{MLP}.{index}.weight" for index in (0, 3)),
        },
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_weights_of_hidden_layers_are_these(name):
    make, expected = EXPECTED[name]
    assert hidden_weights(make()) == expected


def test_all_filters_of_a_residual_network_are_hidden():
    model = models.resnet_cifar((3, 32, 32), 10)
    filters = {name for name, parameter in model.named_parameters() if parameter.ndim == 4}
    assert hidden_weights(model) == filters
    assert len(filters) == 19


def test_a_convolution_that_makes_the_outputs_is_the_last_layer():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert hidden_weights(model) == {"0.weight"}


def test_a_row_or_a_vector_is_no_matrix():
    shapes = {(3, 4): True, (2, 1, 3, 3): True, (1, 5): False, (5, 1): False, (5, 1, 1): False, (5,): False, (): False}
    assert {shape: is_matrix(torch.zeros(shape)) for shape in shapes} == shapes


def test_a_models_parameters_are_gone_through_as_named_parameters_are():
    model = models.mlp(SHAPE, 10)
    found = ModelParameters.of(model)
    assert [(name, id(one)) for name, one in found] == [(name, id(one)) for name, one in model.named_parameters()]
    assert found.hidden == hidden_weights(model)
