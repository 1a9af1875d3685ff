"""`lrlab.find_lr`: on one's own objects, which stay as they were, and on what overrides describe."""

import re

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lrlab


def learnable() -> tuple[nn.Module, torch.optim.Optimizer, DataLoader]:
    torch.manual_seed(0)
    images = torch.randn(256, 10)
    labels = (images[:, 0] > 0).long()
    net = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(
        [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[4].parameters(), "lr": 0.3}], momentum=0.9
    )
    generator = torch.Generator().manual_seed(1)
    return net, optimizer, DataLoader(TensorDataset(images, labels), 32, shuffle=True, generator=generator)


def test_ones_own_objects_stay_as_they_were():
    net, optimizer, loader = learnable()
    net.eval()
    optimizer.param_groups[0]["params"][0].grad = torch.ones_like(optimizer.param_groups[0]["params"][0])
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    random, of_loader = torch.get_rng_state(), loader.generator.get_state()
    found = lrlab.find_lr(net, optimizer, loader, nn.functional.cross_entropy, updates=100)
    assert found.lr is not None
    assert 1e-4 < float(found) < 10
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert not net.training
    assert optimizer.state_dict()["state"] == {}
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.3]
    assert torch.equal(random, torch.get_rng_state())
    assert torch.equal(of_loader, loader.generator.get_state())
    again = lrlab.find_lr(net, optimizer, loader, nn.functional.cross_entropy, updates=100)
    assert again.tests == found.tests


class Output:
    def __init__(self, loss):
        self.loss = loss


class Like(nn.Module):
    """A model as Transformers' are: it returns its loss."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(10, 2)

    def forward(self, inputs, labels):
        return Output(nn.functional.cross_entropy(self.inner(inputs), labels))


def test_a_model_may_return_its_own_loss():
    _, _, loader = learnable()
    batches = [{"inputs": inputs, "labels": labels} for inputs, labels in loader]
    model = Like()
    found = lrlab.find_lr(model, torch.optim.Adam(model.parameters()), batches, updates=100)
    assert found.lr is not None
    assert "<svg" in found._repr_html_()
    assert [*found.to_frame()] == ["seed", "lr", "loss"]


def test_a_loss_that_never_falls_suggests_nothing():
    net, optimizer, _ = learnable()
    batches = [(torch.zeros(4, 10), torch.tensor([0, 1, 0, 1]))]
    found = lrlab.find_lr(net.eval(), optimizer, batches, lambda outputs, _: outputs.sum() * 0 + 1, updates=30)
    assert found.lr is None
    assert "hardly falls" in repr(found)
    with pytest.raises(ValueError, match="hardly falls"):
        float(found)


@pytest.mark.slow
def test_the_overrides_of_the_command_give_its_suggestion(enter):
    from lrlab.commands import find_lr

    typed = ["model=mlp", "find_lr.seeds=2", "find_lr.updates=60"]
    said = enter(find_lr.main, *typed).out
    found = lrlab.find_lr("model=mlp", seeds=2, updates=60)
    assert f"optimizer.lr={found.lr:g}  (median of" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"updates": 3}, "updates: got 3"),
        ({"start": 1.0, "end": 0.1}, "end: got 0.1"),
        ({"loss": None}, "do: loss=torch.nn.functional.cross_entropy"),
        ({"loader": []}, "one that gives no batch"),
        ({"loader": 3}, "loader: got"),
    ],
)
def test_a_mistake_is_a_value_error_about_an_argument(given, said):
    net, optimizer, loader = learnable()
    given = {"loader": loader, "loss": nn.functional.cross_entropy, **given}
    loader = given.pop("loader")
    with pytest.raises(ValueError, match=re.escape(said)):
        lrlab.find_lr(net, optimizer, loader, **given)


def test_a_loss_that_learns_and_the_order_of_the_data_stay_as_they_were():
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.norm = nn.Parameter(torch.ones(1)), nn.BatchNorm1d(2)

        def forward(self, outputs, labels):
            return self.weight * nn.functional.cross_entropy(self.norm(outputs), labels)

    net, optimizer, loader = learnable()
    generator = torch.Generator().manual_seed(3)
    sampler = torch.utils.data.RandomSampler(loader.dataset, generator=generator)
    own = DataLoader(loader.dataset, 32, sampler=sampler)
    loss, state = Loss(), generator.get_state()
    with torch.no_grad():
        lrlab.find_lr(net, optimizer, own, loss, updates=30)
    assert loss.weight.grad is None
    assert loss.norm.num_batches_tracked == 0
    assert torch.equal(state, generator.get_state())
