"""Small models of our own, and torchvision's by name.

An image classifier takes images (B, C, H, W) float32 of one shape and returns logits (B, num_classes). `input_shape` is
(C, H, W); it and `num_classes` come from the data. `linear` and `mlp` take samples of any shape, and predict
`num_classes` numbers where they are no classes. What reads a text is in `lrlab.language_models`.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrlab.errors import closest, first_line, wrong


@dataclass(frozen=True)
class Interface:
    """What a model is given, and what it is to return."""

    input_shape: tuple[int, ...]  # of a sample
    num_outputs: int  # for each place of a target: a score a class, or every number of it
    dtype: torch.dtype = torch.float32  # of samples
    num_classes: int | None = None  # None: what is predicted is no class
    target_shape: tuple[int, ...] = ()
    each: str = "image"  # what a sample is called

    def blank(self, count: int) -> Tensor:
        """So many samples of zeros."""
        return torch.zeros(count, *self.input_shape, dtype=self.dtype)

    def offered(self) -> dict[str, object]:
        """What a model is told if it asks for it. Most call the width of their head `num_classes`, whatever it is."""
        return {"num_classes": self.num_outputs, "num_outputs": self.num_outputs, "input_shape": self.input_shape}


def linear(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Softmax regression on the pixels, or linear regression."""
    return with_head([nn.Flatten()], nn.Linear(math.prod(input_shape), num_classes))


def mlp(
    input_shape: tuple[int, ...], num_classes: int, hidden: Sequence[int] = (128,), dropout: float = 0.0
) -> nn.Module:
    """Fully connected layers of the widths in `hidden`, each followed by ReLU and dropout."""
    if min(hidden, default=1) < 1:
        raise wrong("model.hidden", got=list(hidden), allowed="integers >= 1", do="model.hidden=[128]")
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(input_shape)
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
        width = units
    return with_head(layers, nn.Linear(width, num_classes))


def cnn(input_shape: tuple[int, int, int], num_classes: int, width: int = 16, dropout: float = 0.0) -> nn.Module:
    """Two 3x3 convolutions (`width` and 2 `width` channels) with batch norm, ReLU and pooling, then one linear layer.

    Takes any number of channels and any size from 4x4 pixels on; larger images are pooled to at most 7x7 features.
    """
    if width < 1:
        raise wrong("model.width", got=width, allowed="an integer >= 1", do="model.width=16")
    channels, rows, columns = _of_images(input_shape, "cnn")
    if min(rows, columns) < 4:
        raise wrong("model", got=f"images of {rows}x{columns} pixels", allowed="4x4 or larger", do="model=mlp")
    rows, columns = rows // 4, columns // 4
    pool = max(1, min(rows, columns) // 4)
    features = 2 * width * (rows // pool) * (columns // pool)
    backbone = [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AvgPool2d(pool),
        nn.Flatten(),
        nn.Dropout(dropout),
    ]
    return with_head(backbone, nn.Linear(features, num_classes))


def _of_images(shape: tuple[int, ...], model: str) -> tuple[int, int, int]:
    """(C, H, W) of images. Raises UserError for other samples."""
    if len(shape) != 3:
        got = f"{model}, for samples of shape {tuple(shape)}"
        do = "model=transformer for a text, or model=mlp"
        raise wrong("model", got=got, allowed="images (C, H, W)", do=do)
    channels, rows, columns = shape
    return channels, rows, columns


def resnet_cifar(input_shape: tuple[int, int, int], num_classes: int, depth: int = 20) -> nn.Module:
    """The residual network of `depth` = 6n + 2 layers for 32x32 images: three stages of n blocks, 16, 32, 64 channels.

    ResNet-20 has 0.27 million parameters on CIFAR-10. Shortcuts have none (the paper's option A).
    Source: He et al., Deep Residual Learning, 2015, arXiv:1512.03385, section 4.2.
    """
    if depth < 8 or depth % 6 != 2:
        raise wrong("model.depth", got=depth, allowed="6n + 2: 8, 14, 20, 32, 44, 56, 110", do="model.depth=20")
    channels_in, _, _ = _of_images(input_shape, "resnet20")
    stem = [nn.Conv2d(channels_in, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks: list[nn.Module] = []
    channels = 16
    for stage_channels in (16, 32, 64):
        for _ in range((depth - 2) // 6):
            blocks.append(ResidualBlock(channels, stage_channels))
            channels = stage_channels
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = with_head([*stem, *blocks, *pool], nn.Linear(channels, num_classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model


def with_head(backbone: Sequence[nn.Module], head: nn.Linear) -> nn.Module:
    """The layers in order, under names that parameter groups can go by: `backbone.*` and `head`."""
    return nn.Sequential(OrderedDict(backbone=nn.Sequential(*backbone), head=head))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; where channels double, the image is halved."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.stride = out_channels // channels
        self.grown = out_channels - channels
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        before = self.grown // 2  # channels of zeros, before and after those of the shortcut
        shortcut = F.pad(shortcut, [0, 0, 0, 0, before, self.grown - before])
        return F.relu(y + shortcut)


def torchvision_model(
    input_shape: tuple[int, int, int], num_classes: int, name: str = "resnet18", weights: str | None = None
) -> nn.Module:
    """Any image classifier of `torchvision.models`, by name, with the right number of classes.

    `weights` (`DEFAULT`, `IMAGENET1K_V1`, ...) starts from trained weights under a new last layer; they are fetched
    when missing. Grey images are shown to it on all three channels.
    """
    import torchvision.models

    _of_images(input_shape, "torchvision")
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        guess = closest(name, names) or "resnet18"
        raise wrong(
            "model.name",
            got=f"'{name}'",
            allowed=f"one of torchvision's {len(names)} image classifiers (torchvision.models.list_models())",
            do=f"model.name={guess}",
        )
    if weights is None:
        model = torchvision.models.get_model(name, num_classes=num_classes, **_without_extra_heads(name))
    else:
        model = _with_new_head(_pretrained(name, weights), num_classes)
    if input_shape[0] == 3:
        return model
    return nn.Sequential(OnThreeChannels(), model)


class OnThreeChannels(nn.Module):
    """Shows grey images (B, 1, H, W) on three channels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.expand(-1, 3, -1, -1)


def _without_extra_heads(name: str) -> dict[str, bool]:
    """Arguments for the two models that return more than logits in training unless told not to.

    They warn unless told whether to initialize their weights.
    """
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    return {}


def _pretrained(name: str, weights: str) -> nn.Module:
    import torchvision.models

    known = [*torchvision.models.get_model_weights(name).__members__, "DEFAULT"]
    if weights not in known:
        raise wrong(
            "model.weights", got=f"'{weights}'", allowed=f"null, {', '.join(known)}", do="model.weights=DEFAULT"
        )
    try:
        model = torchvision.models.get_model(name, weights=weights)
    except (OSError, RuntimeError) as error:
        raise wrong(
            "model.weights",
            got=f"{weights}, which could not be fetched ({error})",
            allowed="weights in torch's cache, or a network to fetch them from",
            do="model.weights=null",
        ) from error
    if hasattr(model, "aux_logits"):  # googlenet and inception_v3 come with extra heads
        model.aux_logits = False
        model.AuxLogits = model.aux1 = model.aux2 = None
    return model


def _with_new_head(model: nn.Module, num_classes: int) -> nn.Module:
    """`model` with its last linear layer or convolution replaced by one for `num_classes`."""
    layers = [(path, layer) for path, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    path, last = layers[-1]
    head: nn.Module
    if isinstance(last, nn.Linear):
        head = nn.Linear(last.in_features, num_classes)
    else:
        head = nn.Conv2d(last.in_channels, num_classes, 1)  # squeezenet
    model.set_submodule(path, head)
    return model


@torch.no_grad()
def check_output(model: nn.Module, interface: Interface) -> tuple[int, ...]:
    """The shape of the model's output for two samples. Raises UserError unless it is one for such data.

    A class each asks for logits (B, num_classes). What else is predicted may be returned in any shape that the task
    takes.
    """
    was_training = model.training
    shape, each = interface.input_shape, interface.each
    try:
        outputs = model.eval()(interface.blank(2))
    except Exception as error:
        raise wrong(
            "model",
            got=f"an error on {each}s {shape}: {first_line(error)}",
            allowed=f"a model that takes the data's {each}s" + (" (C, H, W)" if len(shape) == 3 else f" {shape}"),
            do=_another_model(interface),
        ) from error
    model.train(was_training)
    found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    is_label = interface.num_classes is not None and interface.target_shape == ()
    if is_label and found != (2, interface.num_classes):
        raise wrong(
            "model",
            got=f"an output {found} for 2 {each}s",
            allowed=f"logits (2, {interface.num_classes})",
            do="let the model take `num_classes` and return one tensor",
        )
    if not isinstance(outputs, Tensor) or not len(outputs.shape) or len(outputs) != 2:
        allowed = f"a tensor of {interface.num_outputs} outputs for each"
        do = "let the model take `num_outputs` and return one tensor"
        raise wrong("model", got=f"an output {found} for 2 {each}s", allowed=allowed, do=do)
    return tuple(outputs.shape)


def _another_model(interface: Interface) -> str:
    """What to do where a model cannot take the data's samples."""
    if len(interface.input_shape) == 3:
        return "another model, or data of another size (data.image_size where the data set has it)"
    return "model=transformer" if interface.dtype == torch.int64 else "model=mlp"
