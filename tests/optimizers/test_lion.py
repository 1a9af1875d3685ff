"""Lion is algorithm 2 of its paper."""

import pytest
import torch

from lrlab.errors import WrongArgument
from lrlab.optimizers import Lion


def weights(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in ((3, 4), (5,), (2, 1, 3, 3))]


def give_gradients(parameters: list[torch.Tensor], step: int) -> None:
    for parameter, gradient in zip(parameters, weights(100 + step), strict=True):
        parameter.grad = gradient.detach().clone()


def test_an_update_is_the_papers():
    parameters, by_hand = weights(), [weight.detach().clone() for weight in weights()]
    momenta = [torch.zeros_like(weight) for weight in by_hand]
    optimizer = Lion(parameters, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(5):
        give_gradients(parameters, step)
        optimizer.step()
        for index, parameter in enumerate(parameters):
            gradient = parameter.grad
            update = torch.sign(0.9 * momenta[index] + 0.1 * gradient)
            by_hand[index] -= 0.01 * (update + 0.1 * by_hand[index])
            momenta[index] = 0.99 * momenta[index] + 0.01 * gradient
    for parameter, expected in zip(parameters, by_hand, strict=True):
        assert torch.allclose(parameter, expected, rtol=0, atol=1e-6)


def test_every_weight_moves_by_the_lr():
    parameters = weights()
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = Lion(parameters, lr=0.25, weight_decay=0.0)
    give_gradients(parameters, 0)
    optimizer.step()
    for parameter, was in zip(parameters, before, strict=True):
        assert torch.allclose((parameter - was).abs(), torch.full_like(was, 0.25))


def test_a_parameter_without_a_gradient_rests_and_a_closure_is_called():
    parameters = weights()
    optimizer = Lion(parameters, lr=0.1, weight_decay=0.5)
    before = [parameter.detach().clone() for parameter in parameters]
    assert optimizer.step(lambda: 3.0) == 3.0
    assert all(torch.equal(one, other) for one, other in zip(parameters, before, strict=True))
    assert not optimizer.state


def test_it_goes_on_from_its_state():
    whole, parts = weights(), weights()
    first, second = Lion(whole, lr=0.01), Lion(parts, lr=0.01)
    for step in range(6):
        for parameters, optimizer in ((whole, first), (parts, second)):
            give_gradients(parameters, step)
            optimizer.step()
        if step == 2:
            saved = second.state_dict()
            second = Lion(parts, lr=0.01)
            second.load_state_dict(saved)
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_it_is_what_another_implementation_is():
    others = pytest.importorskip("pytorch_optimizer", reason="pytorch-optimizer is not installed")
    ours, theirs = weights(), weights()
    optimizers = [
        Lion(ours, lr=0.01, weight_decay=0.1),
        others.Lion(theirs, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1, weight_decouple=True),
    ]
    for step in range(5):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("betas", [(0.9,), (0.9, 1.0), (-0.1, 0.9), 0.9])
def test_betas_are_two_shares(betas):
    with pytest.raises(WrongArgument, match=r"betas: got .*; allowed: two numbers from 0 to 1, 1 excluded; do: betas="):
        Lion(weights(), betas=betas)
