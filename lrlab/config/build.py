"""Model, task and optimizer from the nodes of a resolved config; every mistake becomes one line."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lrlab.config import checks, muon, own_targets, usable
from lrlab.config.checks import Node
from lrlab.config.groups import ModelParameters, layer_decay_of, read_groups, split
from lrlab.config.hydra_inside import instantiate
from lrlab.data.batches import Batching
from lrlab.data.held_out import Holding
from lrlab.errors import first_line, wrong
from lrlab.models import Interface, check_output
from lrlab.system import randomness
from lrlab.training.task import Task, check_metrics
from lrlab.words import kind_of

Parameters = Iterable[tuple[str, Tensor]] | None  # with their names in the model; None: of no model yet


def build_model(node: Node, interface: Interface) -> nn.Module:
    """The model, told `num_classes`, `num_outputs` and `input_shape` if it asks for them, and tried on two samples."""
    return _build_and_try(node, interface)[0]


def _build_and_try(node: Node, interface: Interface) -> tuple[nn.Module, tuple[int, ...]]:
    """The model, and the shape of its outputs for two samples."""
    offered = interface.offered()
    parameters = checks.check_target(node, "model", given=offered)
    asked_for = set(parameters)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        asked_for.add("num_classes")  # nearly every model that takes any keyword takes this one
    given = {name: value for name, value in offered.items() if name in asked_for - node.keys()}
    model = make(node, "model", **given)
    # The first pass completes a lazy model: the random numbers that it draws are those of its construction.
    lazy = any(map(is_lazy, [*model.parameters(), *model.buffers()]))
    with nullcontext() if lazy else randomness.undisturbed(), _unchanged(model):
        outputs = check_output(model, interface)
    return model, outputs


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """After the block, which may compute with `model`, its weights and statistics are as they were before."""
    before = {}
    for name, value in _values(model):
        if not is_lazy(value):  # a lazy one gets its first value in the block
            before[name] = value.detach().clone()
    yield
    with torch.no_grad():
        for name, value in _values(model):
            if name in before:
                value.copy_(before[name])


def _values(model: nn.Module) -> list[tuple[str, Tensor]]:
    """All parameters and buffers, those that no checkpoint holds among them."""
    return [*model.named_parameters(), *model.named_buffers()]


def build_task(node: Node) -> Task:
    """The task, not yet tried: see `check_loss`."""
    checks.check_target(node, "task")
    if "label_smoothing" in node:
        checks.number("task.label_smoothing", node["label_smoothing"], low=0, high=1, example=0.1)
    usual = _usual_loss(node)
    is_word = isinstance(usual, str) and isinstance(node.get("loss"), str)  # one of the task's own, which knows them
    if node.get("loss") is not None and not is_word:
        _check_own_loss(node, "null for cross entropy" if usual is None else usual)
    task = make(node, "task")
    if not isinstance(task, Task):
        raise wrong(
            "task._target_",
            got=f"{node['_target_']}, which makes {kind_of(task)}",
            allowed="a class with metrics, training_loss(), validation_loss() and to(), as lrlab.training.task.Task",
            do="task=classification",
        )
    check_metrics(task)
    return task


def _usual_loss(node: Node) -> Any:
    """The loss of a task for which none is named: None, or a word."""
    loss = checks.parameters_of(checks.locate(node["_target_"], "task")).get("loss")
    return None if loss is None or loss.default is loss.empty else loss.default


def _check_own_loss(node: Node, usual: str) -> None:
    """Check a loss of the user's own: it smooths labels itself, and has nothing that is learned."""
    if node.get("label_smoothing"):
        raise wrong(
            "task.label_smoothing",
            got=f"{node['label_smoothing']} with task.loss, which is called with the labels as they are",
            allowed="0 with a loss of one's own",
            do="task.label_smoothing=0.0, and smooth in the loss itself",
        )
    checks.check_target(node["loss"], "task.loss")
    loss = make(node["loss"], "task.loss")
    if not callable(loss):
        raise wrong(
            "task.loss._target_",
            got=f"{node['loss']['_target_']}, which makes {kind_of(loss)}",
            allowed="a class whose objects are called as loss(logits, labels)",
            do=f"task.loss={usual}",
        )
    if isinstance(loss, nn.Module) and list(loss.parameters()):
        raise wrong(
            "task.loss",
            got=f"{node['loss']['_target_']}, which has parameters of its own",
            allowed="a loss without any: the optimizer learns the model's",
            do="make them buffers, or move them into the model",
        )


class Trial:
    """A model that was built from a run's seed and tried, kept until the run takes it to train it."""

    def __init__(self, model: nn.Module, seed: int, random_state: dict[str, Any]):
        self._model: nn.Module | None = model
        self._seed, self._random_state = seed, random_state

    @property
    def model(self) -> nn.Module | None:
        """The model, to look at; None once it was taken."""
        return self._model

    def take(self, seed: int) -> nn.Module | None:
        """The model, or None for another seed or the second time. Random numbers go on as after its construction."""
        if seed != self._seed or self._model is None:
            return None
        model, self._model = self._model, None
        randomness.set_state(self._random_state, torch.device("cpu"))
        return model


def require_trainable_on_one(node: Node, interface: Interface, trial: Trial | None, *, do: str) -> None:
    """Raise UserError where the model cannot be trained on a single image, as batch normalization cannot.

    `do` is the advice. The model is left as it was.
    """
    model = trial.model if trial is not None else None
    with randomness.undisturbed():
        model = build_model(node, interface) if model is None else model
        was_training = model.training
        try:
            with _unchanged(model), torch.no_grad():
                model.train()(interface.blank(1))
        except Exception as error:
            raise wrong(
                "data.batch_size",
                got=f"parts of a batch that are a single {interface.each}, on which this model fails "
                f"({first_line(error)})",
                allowed=f"at least 2 {interface.each}s in every part of every batch, for batch normalization and its "
                "like",
                do=do,
            ) from error
        finally:
            model.train(was_training)


class KnownModel(NamedTuple):
    """What is known of a model that was built and tried."""

    parameters: ModelParameters  # stand-ins for them
    output_shape: tuple[int, ...]  # for two samples


def try_model(node: Node, interface: Interface, seed: int) -> tuple[KnownModel, Trial | None]:
    """What is known of the model, and the model itself where this process built it just now.

    However many runs of a sweep use a model, one process builds and tries it once.
    """
    description = (json.dumps(node), interface)
    if description in _TRIED:
        return _TRIED[description], None
    with randomness.undisturbed():
        randomness.seed_everything(seed)
        model, output_shape = _build_and_try(node, interface)
        trial = Trial(model, seed, randomness.get_state(torch.device("cpu")))
    real = ModelParameters.of(model)
    stand_ins = ModelParameters([(name, _stand_in(one)) for name, one in real], real.depths, real.hidden)
    _TRIED[description] = KnownModel(stand_ins, output_shape)
    return _TRIED[description], trial


def _stand_in(parameter: Tensor) -> Tensor:
    """A tensor of the parameter's shape, which takes no memory until something is written into it."""
    zeros = numpy.zeros(tuple(parameter.shape), dtype=numpy.float32)  # of pages that the system has not given yet
    return torch.from_numpy(zeros).requires_grad_(parameter.requires_grad)


_TRIED: dict[tuple[str, Interface], KnownModel] = {}


def build_optimizer(
    node: Node, parameters: Parameters, device: str = "cpu", *, is_stand_in: bool = True
) -> torch.optim.Optimizer:
    """The optimizer over named `parameters`, in the groups that the node describes (see `groups.split`).

    `fused: auto` is true on the `device` "cuda", and elsewhere torch's default. Only one that stands in for the one
    that will train is tried.
    """
    # What lrlab reads itself is taken out of the node, and what is left is checked.
    node = dict(node)
    if "fused" in node:
        node["fused"] = _fused(node["fused"], device)
    node.pop("schedule", None)  # the scheduler's business
    named = read_groups(node.pop("groups", {}))
    decay_all, layer_decay = node.pop("decay_bias_and_norm", True), layer_decay_of(node)
    node.pop("layer_decay", None)
    checks.flag("optimizer.decay_bias_and_norm", decay_all)
    is_divided = _is_divided(node)
    patterns = node.pop(muon.PATTERNS, None) if is_divided else None
    taken = checks.check_target(node, "optimizer", given=(checks.taker(node, "optimizer", "params"),))
    if "lr" in node:
        checks.number("optimizer.lr", node["lr"], above=0, example=0.01)

    # The optimizer, and whether it is one that the loop can use.
    hidden = muon.hidden_of(parameters)
    if isinstance(parameters, ModelParameters):
        parameters = parameters.learning()
    elif parameters is not None:
        parameters = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
    factory = make(node | {"_partial_": True}, "optimizer")
    groups = split(parameters, named, decay_bias_and_norm=decay_all, layer_decay=layer_decay)
    if is_divided:
        groups = muon.divided(groups, parameters, hidden, patterns, muon.settings_of(node, taken))
    optimizer = usable.made(node, checks.handing(factory, taken, "params", groups))
    if is_stand_in:
        usable.require_finite(node)
        usable.require_usable(optimizer, node["_target_"])
    return optimizer


def _is_divided(node: Node) -> bool:
    target = node.get("_target_")
    return isinstance(target, str) and muon.divides(checks.locate(target, "optimizer"))


def _fused(value: Any, device: str) -> bool | None:
    """What `optimizer.fused` means on `device`; None is torch's default."""
    checks.choice("optimizer.fused", value, ("auto", True, False))
    if value == "auto":
        return True if device == "cuda" else None
    return value


def known_settings(path: str, node: Node) -> set[str]:
    """The settings that the `_target_` of the node at `path` names as parameters, and those that lrlab reads itself."""
    ours = {
        "data": {field.name for field in (*fields(Batching), *fields(Holding))},
        "optimizer": {"decay_bias_and_norm", "groups", "layer_decay", "schedule"},
        "scheduler": {"interval", "monitor"},
    }
    if path == "optimizer" and _is_divided(node):
        ours[path].add(muon.PATTERNS)
    return {*checks.parameters_of(checks.locate(node["_target_"], path)), *ours.get(path, set())}


def make(node: Node, key: str, /, **given: Any) -> Any:
    """What the node's `_target_` returns, called with the node's other keys and with `given`."""
    if not given and own_targets.is_own(node):
        return checks.call(key, node["_target_"], own_targets.make, node)
    return _plain_partials(checks.call(key, node["_target_"], instantiate, node, _convert_="all", **given))


def _plain_partials(value: Any) -> Any:
    """Hydra's partials check their target anew at each call, 40 times the cost of a schedule; once is enough."""
    if isinstance(value, dict):
        return {name: _plain_partials(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain_partials(part) for part in value]
    if not isinstance(value, partial):
        return value
    arguments = {name: _plain_partials(argument) for name, argument in value.keywords.items()}
    return partial(value.func, *map(_plain_partials, value.args), **arguments)
