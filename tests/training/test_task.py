"""A task is handed to the loop: its loss is trained on, and its metrics are what is measured, whatever they are."""

import copy

import pytest
import torch
import torch.nn.functional as F
from small_training import CPU, EPOCHS, batches, epochs, make_state, run
from torch import Tensor, nn
from torch.optim import lr_scheduler

from lrlab.data.splits import Splits
from lrlab.errors import UserError
from lrlab.training.divergence import Diverged
from lrlab.training.loop import fit, gradients
from lrlab.training.metrics import METRICS, Metric
from lrlab.training.range_test import range_test
from lrlab.training.task import Classification, check_loss


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def distances(outputs: Tensor, targets: Tensor) -> Tensor:
    """How far the predicted shares of the classes (B, classes) are from the true ones, (B,)."""
    return (outputs.softmax(1) - F.one_hot(targets, outputs.shape[1])).abs().sum(1)


class Shares:
    """A regression: the shares of the classes, by the squares of what is missing."""

    metrics = (
        METRICS["loss"],
        Metric("distance", lambda outputs, targets: distances(outputs, targets).sum(), lower_is_better=True),
        Metric("hits", lambda outputs, targets: (distances(outputs, targets) < 1).sum(), is_share=True),
    )

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs.softmax(1), F.one_hot(targets, outputs.shape[1]).float())

    validation_loss = training_loss

    def to(self, _device: torch.device) -> "Shares":
        return self


def test_another_task_is_trained_by_its_own_loss():
    state = make_state()
    state.optimizer.param_groups[0]["momentum"] = 0
    update = next(fit(state, batches(), batches(False), task=Shares(), epochs=1))
    moved = make_state()
    images, labels = next(batches().epoch(0))
    loss = ((moved.model(images).softmax(1) - F.one_hot(labels, 2)) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        for parameter in moved.model.parameters():
            parameter.add_(parameter.grad, alpha=-0.1)
    assert update.loss.item() == pytest.approx(loss.item(), rel=1e-6)
    for own, expected in zip(state.model.parameters(), moved.model.parameters(), strict=True):
        torch.testing.assert_close(own, expected)


def test_another_task_is_measured_by_its_own_metrics():
    state = make_state()
    last = epochs(run(state, task=Shares()))[-1]
    assert [*last.train] == [*last.val] == ["loss", "distance", "hits"]
    assert [*last.measured][-3:] == ["val_loss", "val_distance", "val_hits"]
    with torch.no_grad():
        parts = [(state.model.eval()(images), labels) for images, labels in batches(False, 20).epoch(0)]
    far = torch.cat([distances(*part) for part in parts])
    assert last.val["distance"] == pytest.approx(far.double().mean().item(), rel=1e-6)
    assert last.val["hits"] == (far < 1).sum().item() / 20


def test_a_plateau_follows_a_metric_that_only_this_task_has():
    state = make_state(lr_scheduler.ReduceLROnPlateau)
    events = run(state, task=Shares(), monitor="val_distance")
    assert state.scheduler.best == min(epoch.val["distance"] for epoch in epochs(events))


def test_the_sums_of_another_task_go_on_from_a_checkpoint():
    whole = make_state()
    expected = run(whole, task=Shares())
    first = make_state()  # each one right before its run: it seeds what dropout draws
    loop = fit(first, batches(), batches(False, 20), task=Shares(), epochs=EPOCHS)
    while first.step < 7:
        next(loop)
    saved = copy.deepcopy(first.state_dict())
    second = make_state()
    second.load_state_dict(saved)
    assert epochs(run(second, task=Shares()))[-1].measured == epochs(expected)[-1].measured
    assert equal(second.model, whole.model)


@pytest.mark.parametrize("accumulate", [2, 8])
def test_parts_of_a_batch_are_measured_as_the_whole(accumulate):
    def start():
        state = make_state()
        state.model[2], state.model[4] = nn.Identity(), nn.Identity()  # they see each part on its own
        return state

    whole, parts = (epochs(run(start(), task=Shares(), accumulate=count))[-1] for count in (1, accumulate))
    assert parts.measured == pytest.approx(whole.measured, rel=1e-4)
    assert parts.train["hits"] == whole.train["hits"]


def test_what_is_measured_keeps_no_graph_alive():
    images, labels = next(batches().epoch(0))
    measured = gradients(make_state(), Shares(), images, labels, size=len(labels), accumulate=1)
    assert [*measured] == ["loss", "distance", "hits"]
    assert not any(value.requires_grad for value in measured.values())


class TestLoss:
    """A loss of one's own in the place of the cross entropy."""

    def test_torchs_cross_entropy_as_a_loss_of_ones_own_changes_nothing(self):
        own = make_state()
        events = run(own, task=Classification(loss=nn.CrossEntropyLoss()))
        usual = make_state()
        expected = run(usual)
        assert equal(own.model, usual.model)
        assert [one.measured for one in epochs(events)] == [one.measured for one in epochs(expected)]

    def test_it_is_the_loss_of_training_and_of_validation(self):
        doubled = Classification(loss=lambda logits, labels: 2 * F.cross_entropy(logits, labels))
        one, two = (epochs(run(make_state(lr=1e-9), epochs=1, task=task))[0] for task in (Classification(), doubled))
        assert two.train["loss"] == pytest.approx(2 * one.train["loss"], rel=1e-4)
        assert two.val["loss"] == pytest.approx(2 * one.val["loss"], rel=1e-4)
        assert two.val["accuracy"] == one.val["accuracy"]

    def test_it_stops_a_run_where_it_is_not_finite(self):
        spoiled = Classification(loss=lambda logits, labels: F.cross_entropy(logits, labels) * float("nan"))
        with pytest.raises(Diverged, match="train/loss: got nan at update 0"):
            run(make_state(), task=spoiled)

    def test_the_range_test_raises_the_lr_by_it(self):
        def losses(task):
            state = make_state()
            return [loss for _, loss in range_test(state, batches(), task=task, start=1e-9, end=1e-8, updates=2)]

        halved = Classification(loss=lambda logits, labels: F.cross_entropy(logits, labels) / 2)
        assert losses(halved)[0] == pytest.approx(losses(Classification())[0] / 2)

    def test_its_tensors_move_with_it(self):
        task = Classification(loss=nn.CrossEntropyLoss(weight=torch.ones(2))).to(torch.device("meta"))
        assert task.loss.weight.device.type == "meta"
        assert Classification().to(CPU) == Classification()


class Labelled:
    """A data set that says the shape of its images."""

    shape = (1, 8, 8)


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (nn.CrossEntropyLoss(reduction="none"), r"a tensor \(2,\), for 2 images; allowed: the mean .*; do: return"),
        (lambda *_: 1.0, r"a float, for 2 images; allowed: the mean .*; do: return"),
        (lambda logits, _: logits.detach().sum(), r"a tensor \(\) without a gradient, .*; allowed: the mean .*; do: "),
        (nn.NLLLoss(ignore_index="0"), r"an error on logits \(2, 3\) and labels \(2,\): .*; allowed: a loss .*; do: "),
    ],
)
def test_a_loss_that_is_no_mean_of_logits_and_labels_is_refused(loss, got):
    with pytest.raises(UserError, match=rf"^task\.loss: got {got}"):
        check_loss(Classification(loss=loss), (2, 3), Splits(Labelled(), Labelled(), num_classes=3))
