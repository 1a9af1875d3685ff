"""Muon is torch's for matrices, AdamW is torch's for the rest, and filters are matrices."""

import copy

import pytest
import torch
from torch import Tensor

from lrlab.errors import WrongArgument
from lrlab.optimizers import Muon, muon
from lrlab.optimizers.muon import orthogonalized

SHAPES = ((8, 32), (32, 8), (16, 16), (3, 50), (8, 32), (8, 32), (16, 16))


def tensors(*shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def stepped(optimizer: torch.optim.Optimizer, parameters: list[Tensor], count: int = 4, first: int = 0) -> None:
    for step in range(first, first + count):
        gradients = tensors(*(tuple(one.shape) for one in parameters), seed=100 + step)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.detach()
        optimizer.step()


def equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("adjust_lr_fn", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_matrices_are_updated_as_torchs_muon_updates_them_bit_for_bit(adjust_lr_fn, nesterov, weight_decay):
    ours, theirs = tensors(*SHAPES), tensors(*SHAPES)
    settings = {"lr": 0.02, "momentum": 0.9, "nesterov": nesterov, "weight_decay": weight_decay, "ns_steps": 4}
    settings["adjust_lr_fn"] = adjust_lr_fn
    stepped(Muon(ours, ns_dtype="bfloat16", **settings), ours)
    stepped(torch.optim.Muon(theirs, **settings), theirs)
    assert equal(ours, theirs)


def test_in_float32_the_same_matrices_come_out_up_to_the_rounding_of_bfloat16():
    ours, theirs, before = tensors(*SHAPES), tensors(*SHAPES), tensors(*SHAPES)
    settings = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    stepped(Muon(ours, **settings), ours)
    stepped(torch.optim.Muon(theirs, **settings), theirs)
    for one, other, was in zip(ours, theirs, before, strict=True):
        assert 0 < (one - other).norm() < 0.02 * (other - was).norm()


def test_the_rest_is_updated_as_torchs_adamw_updates_it_bit_for_bit():
    shapes = ((10, 8), (8,), (1, 4, 6))
    ours, theirs = tensors(*shapes), tensors(*shapes)
    settings = {"adamw_lr": 0.003, "adamw_betas": (0.8, 0.95), "adamw_eps": 1e-7, "adamw_weight_decay": 0.02}
    stepped(Muon([{"params": ours, "adamw": True}], **settings), ours)
    own = {name.removeprefix("adamw_"): value for name, value in settings.items()}
    stepped(torch.optim.AdamW(theirs, **own), theirs)
    assert equal(ours, theirs)


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (6, 2, 5), (8, 2, 1, 2, 2)])
def test_a_filter_is_updated_as_its_matrix(shape):
    [filters] = tensors(shape)
    matrix = filters.detach().flatten(1).clone().requires_grad_()
    of_filters, of_matrix = Muon([filters], lr=0.1), Muon([matrix], lr=0.1)
    for step in range(3):
        [gradient] = tensors(shape, seed=step + 1)
        filters.grad, matrix.grad = gradient.detach(), gradient.detach().flatten(1)
        of_filters.step()
        of_matrix.step()
    assert torch.equal(filters.flatten(1), matrix)


def test_filters_in_another_memory_order_are_the_same_matrix():
    [filters] = tensors((8, 4, 3, 3))
    last = filters.detach().to(memory_format=torch.channels_last).requires_grad_()
    first, other = Muon([filters], lr=0.1), Muon([last], lr=0.1)
    [gradient] = tensors((8, 4, 3, 3), seed=1)
    filters.grad = gradient.detach()
    last.grad = gradient.detach().to(memory_format=torch.channels_last)
    first.step()
    other.step()
    assert torch.allclose(filters, last, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthogonalized_matrix_keeps_its_directions_and_none_of_its_sizes(shape):
    [matrix] = tensors(shape, seed=3)
    u, _, v = torch.linalg.svd(matrix.detach(), full_matrices=False)
    found = orthogonalized(matrix.detach())
    inside = torch.diagonal(u.T @ found @ v.T)
    assert torch.allclose(found, u @ torch.diag(inside) @ v, atol=1e-4)
    assert inside.min() > 0.5
    assert inside.max() < 1.3


def test_a_gradient_of_zeros_moves_nothing():
    [matrix] = tensors((4, 5))
    before = matrix.detach().clone()
    optimizer = Muon([matrix], weight_decay=0.0)
    matrix.grad = torch.zeros_like(matrix)
    optimizer.step()
    assert torch.equal(matrix, before)


def test_with_the_default_adjustment_an_update_is_as_large_as_adamws():
    """The root mean square of an entry is about 0.2 times the LR, whatever the shape."""
    for shape in ((64, 256), (256, 64), (128, 128)):
        [matrix] = tensors(shape)
        before = matrix.detach().clone()
        stepped(Muon([matrix], lr=1.0, weight_decay=0.0), [matrix], count=1)
        assert (matrix - before).square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)


def grouped(parameters: list[Tensor]) -> Muon:
    return Muon(
        [{"params": parameters[:1]}, {"params": parameters[1:], "adamw": True, "name": "adamw"}],
        lr=0.02,
        adamw_lr=0.003,
    )


def test_it_goes_on_from_its_state_and_from_a_copy_of_itself():
    whole, parts, copied = (tensors((6, 5), (5,)) for _ in range(3))
    first, second, third = grouped(whole), grouped(parts), grouped(copied)
    for one, parameters in ((first, whole), (second, parts), (third, copied)):
        stepped(one, parameters, count=3)
    saved = copy.deepcopy(second.state_dict())
    second = grouped(parts)
    second.load_state_dict(saved)
    third, copied = copy.deepcopy((third, copied))
    for one, parameters in ((first, whole), (second, parts), (third, copied)):
        stepped(one, parameters, count=3, first=3)
    assert equal(whole, parts)
    assert equal(whole, copied)


def test_groups_have_the_settings_of_their_kind():
    optimizer = grouped(tensors((6, 5), (5,)))
    matrices, others = optimizer.param_groups
    assert (matrices["lr"], matrices["momentum"], matrices["weight_decay"]) == (0.02, 0.95, 0.1)
    assert (others["lr"], others["momentum"], others["weight_decay"]) == (0.003, 0.9, 0.01)
    optimizer.add_param_group({"params": tensors((3,)), "adamw": True, "lr": 0.5})
    assert (optimizer.param_groups[2]["lr"], optimizer.param_groups[2]["momentum"]) == (0.5, 0.9)


def test_a_scheduler_that_cycles_momentum_cycles_both():
    optimizer = grouped(tensors((6, 5), (5,)))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=[0.02, 0.003], total_steps=10)
    optimizer.step()
    scheduler.step()
    assert [group["momentum"] for group in optimizer.param_groups] == [
        scheduler.optimizer.param_groups[0]["momentum"]
    ] * 2
    assert optimizer.param_groups[1]["momentum"] not in (0.9, 0.95)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"momentum": 1.0}, r"momentum: got 1\.0; allowed: from 0 to 1, 1 excluded; do: momentum=0\.95"),
        ({"ns_steps": 0}, r"ns_steps: got 0; allowed: from 1 to 100, 100 excluded; do: ns_steps=5"),
        ({"ns_coefficients": (1, 2)}, r"ns_coefficients: got \[1, 2\]; allowed: three, of x, x\^3 and x\^5; do: ns_co"),
        ({"adamw_betas": (0.9, 1.0)}, r"adamw_betas: got \(0\.9, 1\.0\); allowed: two numbers from 0 to 1"),
    ],
)
def test_what_it_cannot_be_made_with_is_one_line(settings, said):
    with pytest.raises(WrongArgument, match=said):
        Muon(tensors((3, 3)), **settings)


def test_a_vector_among_matrices_is_refused():
    with pytest.raises(
        WrongArgument, match=r"params: got one of shape \(3,\); allowed: two dimensions or more, or a gr"
    ):
        Muon(tensors((3, 3), (3,)))


def test_matrices_of_one_shape_are_orthogonalized_together_as_each_alone(monkeypatch):
    matrices = torch.stack(tensors(*[(12, 40)] * 5)).detach()
    together = orthogonalized(matrices)
    assert torch.allclose(together, torch.stack([orthogonalized(one) for one in matrices]), atol=1e-5)
    tall = orthogonalized(matrices.mT)
    assert torch.allclose(tall.mT, together, atol=1e-5)

    shapes = ((12, 40),) * 5 + ((40, 12), (3, 4, 10))
    ours, theirs = tensors(*shapes), tensors(*shapes)
    stepped(Muon(ours), ours)
    monkeypatch.setattr(muon, "_NUMBERS_AT_ONCE", 2 * 12 * 40)  # two at a time
    assert [len(part) for part in muon._alike([one.flatten(1) for one in ours])] == [2, 2, 1, 1, 1]
    stepped(Muon(theirs), theirs)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(ours, theirs, strict=True))
