"""Every model takes the data's images and returns logits for its classes."""

import pytest
import torch
from torch import nn

from lrlab import models, published_models
from lrlab.errors import UserError

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 33, 47), (2, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("build", [models.linear, models.mlp, models.cnn, models.resnet_cifar])
def test_any_channels_and_size_give_logits_that_learn(build, shape):
    torch.manual_seed(0)
    model = build(input_shape=shape, num_classes=7)
    models.check_output(model, models.Interface(shape, 7, num_classes=7))
    model(torch.rand(3, *shape)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_resnet20_has_the_papers_number_of_parameters():
    model = models.resnet_cifar((3, 32, 32), 10, depth=20)
    convolutions_and_linear = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(convolutions_and_linear) == 20
    assert sum(parameter.numel() for parameter in model.parameters()) == 269_722  # "0.27M", table 6


def test_a_residual_block_halves_the_image_where_it_doubles_the_channels():
    assert models.ResidualBlock(16, 16)(torch.rand(2, 16, 9, 8)).shape == (2, 16, 9, 8)
    assert models.ResidualBlock(16, 32)(torch.rand(2, 16, 9, 8)).shape == (2, 32, 5, 4)


def test_a_block_whose_convolutions_are_zero_is_its_shortcut():
    block = models.ResidualBlock(16, 32).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(2, 16, 8, 8)
    y = block(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "googlenet"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
def test_torchvisions_classifiers_get_the_number_of_classes(name, channels):
    model = models.torchvision_model((channels, 64, 64), 5, name=name)
    models.check_output(model, models.Interface((channels, 64, 64), 5, num_classes=5))
    assert model.train()(torch.rand(2, channels, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vit_b_16"])
def test_a_new_head_replaces_only_the_last_layer(name):
    import torchvision.models

    with torch.device("meta"):
        whole = torchvision.models.get_model(name)
        names = [parameter for parameter, _ in whole.named_parameters()]
        changed = models._with_new_head(whole, 5)
    small = [parameter for parameter, value in changed.named_parameters() if value.shape[0] == 5]
    assert [parameter for parameter, _ in changed.named_parameters()] == names
    assert len(small) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.resnet_cifar((3, 32, 32), 10, depth=21), r"model\.depth: got 21; allowed: 6n \+ 2"),
        (lambda: models.cnn((1, 3, 9), 10), "model: got images of 3x9 pixels; allowed: 4x4 or larger; do: model=mlp"),
        (
            lambda: models.torchvision_model((3, 32, 32), 10, name="resnet19"),
            r"got 'resnet19'.*; do: model\.name=resnet1",
        ),
        (
            lambda: models.torchvision_model((3, 9, 9), 10, name="fcn_resnet50"),
            "allowed: one of torchvision's .* classifiers",
        ),
        (
            lambda: models.torchvision_model((3, 9, 9), 10, weights="BEST"),
            r"model\.weights: got 'BEST'; allowed: null, IMAGENET1K_V1",
        ),
        (
            lambda: models.check_output(nn.Flatten(), models.Interface((1, 2, 2), 10, num_classes=10)),
            r"got an output \(2, 4\) for 2 images; allowed: logits \(2, 10\)",
        ),
        (
            lambda: models.check_output(nn.Linear(3, 10), models.Interface((1, 2, 2), 10, num_classes=10)),
            r"model: got an error on images \(1, 2, 2\): ",
        ),
    ],
)
def test_a_model_that_cannot_be_is_refused(call, message):
    with pytest.raises(UserError, match=message):
        call()


PUBLISHED = {
    published_models.lenet: ((1, 28, 28), 431_080),  # Caffe's: 520 + 25,050 + 400,500 + 5,010
    published_models.mnist_convnet: ((1, 28, 28), 1_199_882),
    published_models.conv2_dense2: ((1, 28, 28), 3_274_634),
    published_models.conv3_dense3: ((3, 32, 32), 895_210),
    published_models.airbench: ((3, 32, 32), 1_972_792),
}


@pytest.mark.parametrize(("build", "known"), PUBLISHED.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_a_published_network_has_its_parameters_and_gives_logits_that_learn(build, known):
    shape, parameters = known
    torch.manual_seed(0)
    model = build(input_shape=shape, num_classes=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    models.check_output(model, models.Interface(shape, 10, num_classes=10))
    model(torch.rand(3, *shape)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("build", PUBLISHED)
def test_a_published_network_refuses_images_that_the_experiment_did_not_have(build):
    with pytest.raises(UserError, match=r"shape \(1, 8, 8\); allowed: images of .*; do: model=cnn"):
        build(input_shape=(1, 8, 8), num_classes=10)


def test_deepobs_networks_begin_as_they_did():
    torch.manual_seed(0)
    two, three = (published_models.conv2_dense2((1, 28, 28), 10), published_models.conv3_dense3((3, 32, 32), 10))
    for name, parameter in two.named_parameters():
        assert (parameter == 0.05).all() if name.endswith("bias") else parameter.abs().max() <= 0.1
    assert all((parameter == 0).all() for name, parameter in three.named_parameters() if name.endswith("bias"))
    first = three.backbone[0].weight
    assert first.std().item() == pytest.approx((2 / (3 * 25 + 64 * 25)) ** 0.5, rel=0.05)


def test_airbench_passes_on_what_it_can_and_has_small_logits_of_deviation_one_in_their_weights():
    torch.manual_seed(0)
    model = published_models.airbench((3, 32, 32), 10)
    first = next(one for one in model.backbone if isinstance(one, nn.Conv2d) and one.in_channels == 24)
    image = torch.rand(1, 24, 5, 5)
    assert torch.equal(first(image)[:, :24], image)
    assert model.head.weight.std().item() == pytest.approx(1.0)
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert len(frozen) == 6
    assert model(torch.rand(64, 3, 32, 32)).abs().max() < 1
