"""`lrlab.find_lr`: an LR to start from, by range tests on one's own objects or on what overrides describe."""

import copy
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lrlab.api import pictures
from lrlab.api.frames import frame
from lrlab.api.wording import of_arguments, require_texts
from lrlab.config import checks, compose
from lrlab.config.prepare import Prepared, prepare
from lrlab.data.batches import Batches
from lrlab.drawing.range_tests import of_range_tests
from lrlab.errors import first_line, wrong
from lrlab.lr.hyperparameters import adapts_its_lr
from lrlab.runs.assemble import build_state
from lrlab.runs.explain import explain
from lrlab.runs.guest import guest
from lrlab.schedules.law import wrong_argument
from lrlab.training import range_test
from lrlab.training.precision import StepFailed
from lrlab.training.range_test import Suggestion, rising, smooth, suggest
from lrlab.words import kind_of

Points = list[tuple[float, float]]  # LR and loss of each update
RangeTest = tuple[int, Points, Suggestion | None]  # its seed, its points, what it says


@dataclass(frozen=True)
class FoundLR:
    """What range tests say: `lr` is where to start, or None where the loss hardly fell at any LR.

    `low` and `high` are the lowest and the highest suggestion of all tests. A notebook shows the losses over the LR.
    """

    lr: float | None
    low: float | None
    high: float | None
    tests: tuple[RangeTest, ...]

    def to_frame(self) -> Any:
        """A row an update: `seed`, `lr`, `loss`."""
        columns: dict[str, list[Any]] = {"seed": [], "lr": [], "loss": []}
        for seed, points, _ in self.tests:
            for lr, loss in points:
                for name, value in (("seed", seed), ("lr", lr), ("loss", loss)):
                    columns[name].append(value)
        return frame(columns)

    def plot(self) -> pictures.Picture:
        """The loss of every batch over the LR, its smoothed course, and the suggestion."""
        return pictures.Picture(lambda: of_range_tests(curves_of(self.tests), suggestion=self.lr))

    def __float__(self) -> float:
        if self.lr is None:
            got = "a loss that hardly falls at any LR"
            allowed = "a model and data from which something can be learned"
            raise wrong_argument("find_lr", got=got, allowed=allowed, do="updates=2000, or other ends")
        return self.lr

    def __repr__(self) -> str:
        if self.lr is None:
            return "<lrlab.find_lr: the loss hardly falls at any LR>"
        if len(self.tests) == 1:
            return f"<lrlab.find_lr: {self.lr:g} (one test)>"
        return f"<lrlab.find_lr: {self.lr:g} ({self.low:.2g} to {self.high:.2g} of {len(self.tests)} tests)>"

    def _repr_html_(self) -> str:
        said = repr(self).removeprefix("<lrlab.find_lr: ").removesuffix(">")
        return self.plot()._repr_html_() + pictures.notes([said])


def find_lr(
    *what: Any,
    loss: Callable[[Any, Any], Tensor] | None = None,
    start: float = 1e-6,
    end: float = 10.0,
    updates: int = 400,
    seeds: int = 5,
    **named: Any,
) -> FoundLR:
    """An LR to start from: train while the LR grows, and look where the loss has made nine tenths of its fall.

    `find_lr(model, optimizer, loader, loss)` works on copies, so that nothing of yours changes, not even a random
    state. `loader` gives batches `(inputs, targets)`, and `loss(model(inputs), targets)` is the mean over the batch;
    without a loss, `model(**batch).loss` is, as in Transformers. Parameter groups keep the ratios of their LRs.

    `find_lr("optimizer=adam", "model=mlp")` takes what `lrlab find-lr` takes, and tests each of `seeds` seeds.

    Source: Smith, Cyclical Learning Rates, 2015, arXiv:1506.01186, section 3.3.
    """
    if named and not all(isinstance(one, str) for one in (*what, *named.values())):
        do = "lrlab.find_lr(model, optimizer, loader, loss)"
        raise wrong_argument(next(iter(named)), got="a keyword", allowed="your own objects by position", do=do)
    require_texts("find_lr", named)
    with of_arguments():
        checks.number("find_lr.start", start, above=0, example=1e-6)
        checks.number("find_lr.end", end, above=start, example=10 * start)
        checks.number("find_lr.updates", updates, whole=True, low=20, example=400)
        checks.number("find_lr.seeds", seeds, whole=True, low=1, example=5)
    if all(isinstance(one, str) for one in what):
        with guest():
            tests = range_tests(list(what), start=start, end=end, updates=updates, seeds=seeds)
    else:
        model, optimizer, loader, own_loss = _own_objects(what, loss)
        with guest():
            points = list(_range_test(model, optimizer, loader, own_loss, start=start, end=end, updates=updates))
        tests = [(0, points, suggest(points))]
    found = [suggestion.lr for _, _, suggestion in tests if suggestion is not None]
    if not found:
        return FoundLR(None, None, None, tuple(tests))
    lr = _rounded(statistics.median_low(found))
    return FoundLR(lr, min(found), max(found), tuple(tests))


def suggested(found: Sequence[Suggestion]) -> float:
    """The LR that most of the suggestions are for, with two significant digits."""
    return _rounded(statistics.median_low([suggestion.lr for suggestion in found]))


def curves_of(tests: Iterable[RangeTest]) -> list[tuple[list[float], list[float], list[float]]]:
    """LRs, losses and smoothed losses of each test that has any."""
    drawn = []
    for _, points, _ in tests:
        if points:
            lrs, losses = [at for at, _ in points], [loss for _, loss in points]
            drawn.append((lrs, losses, smooth(points)))
    return drawn


def _own_objects(what: Sequence[Any], loss: Any) -> tuple[nn.Module, Optimizer, Iterable[Any], Any]:
    names = ("model", "optimizer", "loader", "loss")
    if len(what) > len(names):
        do = "lrlab.find_lr(model, optimizer, loader, loss)"
        raise wrong_argument("find_lr", got=f"{len(what)} arguments", allowed=", ".join(names), do=do)
    given: dict[str, Any] = dict(zip(names, what, strict=False))
    if loss is not None:
        given["loss"] = loss
    kinds = {"model": nn.Module, "optimizer": Optimizer, "loader": Iterable}
    for name, kind in kinds.items():
        if not isinstance(given.get(name), kind):
            got = kind_of(given[name]) if name in given else "nothing"
            do = "lrlab.find_lr(model, optimizer, loader, loss)"
            raise wrong_argument(name, got=got, allowed=f"a {kind.__module__}.{kind.__name__}", do=do)
    return given["model"], given["optimizer"], given["loader"], given.get("loss")


def _range_test(
    model: nn.Module, optimizer: Optimizer, loader: Iterable[Any], loss: Any, *, start: float, end: float, updates: int
) -> Iterator[tuple[float, float]]:
    """A range test on copies of a model and of its optimizer, copied together so that they stay a pair."""
    if isinstance(optimizer, torch.optim.LBFGS):
        allowed = "one that makes an update from one gradient"
        raise wrong_argument("optimizer", got="LBFGS, whose step() wants a closure", allowed=allowed, do="SGD or AdamW")
    try:
        model, optimizer, loss = copy.deepcopy((model, optimizer, loss))
    except Exception as error:
        got = f"one that cannot be copied ({first_line(error)})"
        allowed = "a model that copy.deepcopy copies"
        raise wrong_argument("model", got=got, allowed=allowed, do="build one anew in find_lr's call") from error
    model.train()
    if hasattr(optimizer, "train"):
        optimizer.train()
    if adapts_its_lr(optimizer):
        allowed, do = "one whose LR is to be found", "leave its lr at 1"
        raise wrong_argument("optimizer", got=_finds_by_itself(optimizer), allowed=allowed, do=do)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    first = float(optimizer.param_groups[0]["lr"]) or 1.0
    ratios = [float(group["lr"]) / first for group in optimizer.param_groups]
    batches = _again_and_again(loader)

    def measure(lr: float) -> float:
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            group["lr"] = lr * ratio
        optimizer.zero_grad()
        value = _loss_of(model, _moved(next(batches), device), loss)
        value.backward()
        return value.item()

    def update() -> bool:
        optimizer.step()
        return True

    generators = [(one, one.get_state()) for one in _generators_of(loader)]
    try:
        with torch.enable_grad():
            yield from rising(measure, update, start=start, end=end, updates=updates)
    finally:
        for generator, state in generators:
            generator.set_state(state)


def _finds_by_itself(optimizer: Optimizer) -> str:
    return f"{type(optimizer).__name__}, which finds its step size by itself, and multiplies it by the LR"


def _generators_of(loader: Any) -> list[torch.Generator]:
    """The random generators by which a DataLoader orders its data."""
    sampler, batches = getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)
    holders = (loader, sampler, batches, getattr(batches, "sampler", None))
    held = [getattr(holder, "generator", None) for holder in holders]
    return list({id(one): one for one in held if isinstance(one, torch.Generator)}.values())


def _again_and_again(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        count = 0
        for batch in loader:
            count += 1
            yield batch
        if not count:
            allowed = "one that gives batches each time it is gone through, as a DataLoader does"
            raise wrong_argument(
                "loader", got="one that gives no batch (any more)", allowed=allowed, do="a list of batches"
            )


def _loss_of(model: nn.Module, batch: Any, loss: Any) -> Tensor:
    if loss is None:
        if not isinstance(batch, Mapping):
            got = "none, and batches that are no mappings"
            allowed = "loss(model(inputs), targets), or batches that model(**batch).loss takes"
            raise wrong_argument("loss", got=got, allowed=allowed, do="loss=torch.nn.functional.cross_entropy")
        return model(**batch).loss
    if isinstance(batch, Mapping) or not isinstance(batch, list | tuple) or len(batch) != 2:
        got = f"batches that are {kind_of(batch)}, and no pair"
        allowed = "batches (inputs, targets), or mappings without a loss"
        raise wrong_argument("loader", got=got, allowed=allowed, do="a loader around it that gives pairs")
    inputs, targets = batch
    found = loss(model(inputs), targets)
    if not isinstance(found, Tensor) or found.numel() != 1:
        got = kind_of(found) if not isinstance(found, Tensor) else f"a tensor of {tuple(found.shape)}"
        raise wrong_argument(
            "loss", got=got, allowed="the mean over the batch, a tensor with one value", do="reduce it"
        )
    return found


def _moved(value: Any, device: torch.device) -> Any:
    """A batch on `device`, whatever it is made of."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _moved(part, device) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_moved(part, device) for part in value]
    return value


def range_tests(
    overrides: Sequence[str],
    *,
    start: float,
    end: float,
    updates: int,
    seeds: int,
    told: Callable[[RangeTest], None] = lambda _: None,
) -> list[RangeTest]:
    """A range test for each seed, each on a model, an optimizer and an order of the data of its own."""
    prepared = prepare(compose.compose(overrides))
    splits = prepared.splits
    train = Batches(
        splits.train,
        prepared.batching,
        num_classes=splits.num_classes,
        seed=prepared.seed,
        device=prepared.device,
        train=True,
    )
    tests: list[RangeTest] = []
    try:
        for seed in range(prepared.seed, prepared.seed + seeds):
            train.seed = seed
            points = _test(prepared, train, seed, start=start, end=end, updates=updates)
            tests.append((seed, points, suggest(points)))
            told(tests[-1])
    except (RuntimeError, StepFailed) as error:
        explained = explain(error)
        if explained is None:
            raise
        raise explained from error
    finally:
        train.close()
    return tests


def _test(prepared: Prepared, train: Batches, seed: int, *, start: float, end: float, updates: int) -> Points:
    """The LR and the loss of every update of one range test, on a new model made from `seed`."""
    # No scheduler of theirs: some cycle the momentum as well, and set it when they are built.
    unscheduled = replace(prepared.scheduler, build=lambda optimizer: cast(Any, LambdaLR(optimizer, lambda _: 1.0)))
    checked = replace(prepared.checked, config={**prepared.config, "seed": seed})
    state = build_state(replace(prepared, scheduler=unscheduled, checked=checked))
    if adapts_its_lr(state.optimizer):
        allowed, do = "one whose LR is to be found", "optimizer.lr=1 in training, without a range test"
        raise wrong("optimizer", got=_finds_by_itself(state.optimizer), allowed=allowed, do=do)
    points = range_test.range_test(
        state,
        train,
        start=start,
        end=end,
        updates=updates,
        task=prepared.task.to(prepared.device),
        clip_grad_norm=prepared.trainer.clip_grad_norm,
        accumulate=prepared.trainer.accumulate,
    )
    return list(points)


def _rounded(value: float) -> float:
    """`value` with two significant digits."""
    return float(f"{value:.2g}") if math.isfinite(value) else value
