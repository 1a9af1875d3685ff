"""Networks of published experiments, layer by layer, for recipes that repeat them.

They take images (B, C, H, W) of the size that the experiment had, and return logits (B, num_classes).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lrlab.errors import wrong
from lrlab.models import with_head


def lenet(input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Caffe's LeNet: two 5x5 convolutions of 20 and 50 channels, each pooled, then 500 units. 431,080 parameters.

    Its only nonlinearities are the poolings and one ReLU. Weights begin as Glorot's (uniform) and biases at 0, as in
    its port to Keras; Caffe's first weights are larger, and its biases have twice the LR.
    Source: the MNIST example of Caffe, after LeCun et al., Gradient-based learning applied to document recognition,
    1998; with it Smith and Topin, 2017, arXiv:1708.07120, trained MNIST; the port: github.com/coxy1989/superconv.
    """
    channels, side = _sides(input_shape, "lenet", (28, 32))
    after = ((side - 4) // 2 - 4) // 2
    backbone = [
        *(nn.Conv2d(channels, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(50 * after * after, 500), nn.ReLU()),
    ]
    return _begun(with_head(backbone, nn.Linear(500, num_classes)), nn.init.xavier_uniform_, bias=0.0)


def mnist_convnet(input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network of PyTorch's MNIST example: 3x3 convolutions of 32 and 64 channels, 128 units, dropout.

    1,199,882 parameters. The example of schedule-free learning (Defazio et al., 2024, arXiv:2405.15682) has it too.
    """
    channels, side = _sides(input_shape, "mnist_convnet", (28,))
    after = (side - 4) // 2
    backbone = [
        *(nn.Conv2d(channels, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout(0.25), nn.Flatten(), nn.Linear(64 * after * after, 128), nn.ReLU(), nn.Dropout(0.5)),
    ]
    return with_head(backbone, nn.Linear(128, num_classes))


def conv2_dense2(input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """DeepOBS's 2c2d: 5x5 convolutions of 32 and 64 channels, each pooled, then 1,024 units.

    Weights are normal with a deviation of 0.05, cut off at two of them; biases are 0.05.
    Source: Schneider et al., DeepOBS, 2019, arXiv:1903.05499.
    """
    channels, side = _sides(input_shape, "conv2_dense2", (28,))
    backbone = [
        *(nn.Conv2d(channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(64 * (side // 4) ** 2, 1024), nn.ReLU()),
    ]

    def normal(weight: Tensor) -> None:
        nn.init.trunc_normal_(weight, std=0.05, a=-0.1, b=0.1)

    return _begun(with_head(backbone, nn.Linear(1024, num_classes)), normal, bias=0.05)


def conv3_dense3(input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """DeepOBS's 3c3d: convolutions of 64, 96 and 128 channels, each pooled, then 512 and 256 units.

    Weights are Glorot's, normal in convolutions and uniform in linear layers; biases are 0.
    Source: Schneider et al., DeepOBS, 2019, arXiv:1903.05499.
    """
    channels, _ = _sides(input_shape, "conv3_dense3", (32,))
    pool = [nn.MaxPool2d(3, stride=2, ceil_mode=True) for _ in range(3)]  # pads at the end, as TensorFlow's "same"
    backbone = [
        *(nn.Conv2d(channels, 64, 5), nn.ReLU(), pool[0], nn.Conv2d(64, 96, 3), nn.ReLU(), pool[1]),
        *(nn.Conv2d(96, 128, 3, padding=1), nn.ReLU(), pool[2], nn.Flatten()),
        *(nn.Linear(128 * 3 * 3, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU()),
    ]
    model = _begun(with_head(backbone, nn.Linear(256, num_classes)), nn.init.xavier_uniform_, bias=0.0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
    return model


def airbench(input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network of airbench94: patches of 2x2 pixels, then three pairs of 3x3 convolutions. 1,972,792 parameters.

    Of 64, 256 and 256 channels, each pair pooled after its first. Convolutions begin with the identity (Dirac) as far
    as their inputs go, normalization has no scale of its own and forgets fast, and logits are small at first. There
    the filters of the patches are the whitening of training images and stay as they are; here they are learned, for a
    model is built before it sees data.
    Source: Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024, arXiv:2404.00498.
    """
    channels, _ = _sides(input_shape, "airbench", (32,))
    widths = (8 * channels, 64, 256, 256)
    backbone: list[nn.Module] = [nn.Conv2d(channels, widths[0], 2), nn.GELU()]
    for before, width in pairwise(widths):
        backbone += [_from_identity(before, width), nn.MaxPool2d(2), _fast_norm(width), nn.GELU()]
        backbone += [_from_identity(width, width), _fast_norm(width), nn.GELU()]
    head = nn.Linear(widths[-1], num_classes, bias=False)
    with torch.no_grad():
        head.weight /= head.weight.std()
    return with_head([*backbone, nn.MaxPool2d(3), nn.Flatten(), Scaled(1 / widths[-1])], head)


class Scaled(nn.Module):
    """Multiplies by a number that is not learned."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return features * self.factor

    def extra_repr(self) -> str:
        return f"factor={self.factor:g}"


def _from_identity(channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution whose first filters pass each channel on as it is."""
    convolution = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:channels])
    return convolution


def _fast_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalization of which the shift alone is learned, and whose statistics are those of the last batches."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad = False
    return norm


def _begun(model: nn.Module, begin: Callable[[Tensor], object], bias: float) -> nn.Module:
    """`model` with its first weights and biases."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            begin(module.weight)
            assert module.bias is not None
            nn.init.constant_(module.bias, bias)
    return model


def _sides(shape: Sequence[int], model: str, sides: Sequence[int]) -> tuple[int, int]:
    """Channels and side of square images. Raises UserError for samples that the experiment did not have."""
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in sides:
        allowed = " or ".join(f"images of {side}x{side} pixels" for side in sides)
        got = f"{model}, for samples of shape {tuple(shape)}"
        raise wrong("model", got=got, allowed=allowed, do="model=cnn, which takes images of any size")
    return shape[0], shape[1]
