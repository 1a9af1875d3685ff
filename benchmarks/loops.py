"""One training, many ways: the bare loop, lrlab's run, and other frameworks; each is called in a process of its own.

All train the same modules from the same initial weights with the same SGD and StepLR on the same images of MNIST, and
read the clock at the same place, where an epoch begins.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from benchmarks.processes import terminal
from benchmarks.runs import Clock, composed, train
from benchmarks.timing import Measured, Missing
from lrlab.config import build, compose
from lrlab.data import Images, Splits, datasets
from lrlab.models import Interface
from lrlab.runs import checkpoint
from lrlab.system import randomness

BATCH, SEED, LR, MOMENTUM, GAMMA = 128, 0, 0.02, 0.9, 0.7
MEAN, STD = 0.1307, 0.3081
MODELS = {"mlp": ("model=mlp", "model.hidden=[64]"), "cnn": ("model=cnn", "model.width=16")}
CHECKED_IMAGES = 2_000  # the loss on these, after training, shows that every way has trained


@dataclass
class Task:
    """What is trained, and how long."""

    model: str
    root: str  # the folder with MNIST
    images: int  # of the training split, the first ones
    epochs: int

    @property
    def updates(self) -> int:
        """In an epoch."""
        return -(-self.images // BATCH)

    def overrides(self) -> list[str]:
        """The run of lrlab that does the same; validation, which no other way has, only at its end."""
        return [
            "data=mnist",
            "data._target_=benchmarks.loops.first_images",
            f"+data.images={self.images}",
            f"data.root={self.root}",
            "data.download=false",
            f"data.batch_size={BATCH}",
            *MODELS[self.model],
            f"optimizer.lr={LR}",
            f"optimizer.momentum={MOMENTUM}",
            "optimizer.weight_decay=0",
            "scheduler=step",
            "scheduler.step_size=1",
            f"scheduler.gamma={GAMMA}",
            f"trainer.epochs={self.epochs}",
            "trainer.eval_every=1000000",
            "trainer.monitor=train_loss",
            "trainer.device=cpu",
            f"seed={SEED}",
        ]


def first_images(images: int, name: str, root: str, download: bool) -> Splits:
    """lrlab's MNIST with the first `images` of its training split."""
    splits = datasets.torchvision_images(name, root, download)
    whole = splits.train

    def load() -> tuple[Tensor, Tensor]:
        pixels, labels = whole.tensors  # type: ignore[attr-defined]
        return pixels[:images], labels[:images]

    train = Images(images, splits.shape, splits.num_classes, load)
    return Splits(train=train, val=splits.val, num_classes=splits.num_classes)


def training(way: str, **task: Any) -> Measured:
    """The milliseconds of an update and the loss after all of them, trained in one of `WAYS`."""
    what = Task(**task)
    if not Path(what.root, "MNIST", "raw").is_dir():
        raise Missing("no MNIST in the folder of --root")
    clock = Clock()
    model = WAYS[way](what, clock)
    model.eval()
    images, labels = floats(what)
    with torch.no_grad():
        loss = F.cross_entropy(model(images[:CHECKED_IMAGES]), labels[:CHECKED_IMAGES]).item()
    return {"ms per update": clock.seconds() / what.updates * 1000, "loss at the end": loss}


def floats(task: Task) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) float32, normalized, and labels (N,) int64."""
    splits = first_images(task.images, name="MNIST", root=task.root, download=False)
    images, labels = splits.train.tensors  # type: ignore[attr-defined]
    return images.float().div_(255).sub_(MEAN).div_(STD), labels


def built(task: Task, lr: float = LR) -> tuple[nn.Module, torch.optim.Optimizer, Any]:
    """lrlab's model with its initial weights, and torch's optimizer and scheduler."""
    randomness.seed_everything(SEED)
    node = compose.resolve(composed(task.overrides()))["model"]
    model = build.build_model(node, Interface((1, 28, 28), 10, num_classes=10))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=MOMENTUM)
    return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=GAMMA)


def bare(task: Task, clock: Clock, batches: Callable[[int], Iterable], lr: float = LR) -> nn.Module:
    """The loop that everybody writes; `batches(epoch)` gives those of an epoch."""
    model, optimizer, scheduler = built(task, lr)
    model.train()
    for epoch in range(task.epochs):
        clock.epoch_begins()
        for images, labels in batches(epoch):
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()
    return model


def one_batch(task: Task, clock: Clock) -> nn.Module:
    images, labels = floats(task)
    batch = images[:BATCH].clone(), labels[:BATCH].clone()
    # With an LR of 0 the same is computed, and the batch is not learned by heart, which could make gradients so small
    # (denormal numbers) that processors are slow with them.
    return bare(task, clock, lambda _: (batch for _ in range(task.updates)), lr=0.0)


def in_memory(task: Task, clock: Clock) -> nn.Module:
    images, labels = floats(task)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        # lrlab's own order, so that the results can be compared; any other costs the same.
        order = torch.randperm(len(labels), generator=randomness.generator(SEED, "order", epoch))
        for part in order.split(BATCH):
            yield images[part], labels[part]

    return bare(task, clock, batches)


def tensor_loader(task: Task) -> DataLoader:
    return DataLoader(TensorDataset(*floats(task)), batch_size=BATCH, shuffle=True)


def tutorial_loader(task: Task) -> DataLoader:
    """As in torch's own example for MNIST: pictures decoded, scaled and normalized one by one."""
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    whole: Dataset = datasets.MNIST(task.root, train=True, transform=transform)
    return DataLoader(Subset(whole, range(task.images)), batch_size=BATCH, shuffle=True)


def with_loader(task: Task, clock: Clock) -> nn.Module:
    loader = tensor_loader(task)
    return bare(task, clock, lambda _: loader)


def tutorial(task: Task, clock: Clock) -> nn.Module:
    loader = tutorial_loader(task)
    return bare(task, clock, lambda _: loader)


def lrlab_run(task: Task, clock: Clock) -> nn.Module:
    folder = train(task.overrides(), clock).folder
    model = built(task)[0]
    model.load_state_dict(checkpoint.load(folder / checkpoint.LAST)["state"]["model"])
    return model


def lightning_on_tensors(task: Task, clock: Clock) -> nn.Module:
    require("lightning")
    return lightning(task, clock, tensor_loader(task))


def lightning_tutorial(task: Task, clock: Clock) -> nn.Module:
    require("lightning")
    return lightning(task, clock, tutorial_loader(task))


def lightning(task: Task, clock: Clock, loader: Iterable) -> nn.Module:
    """Lightning's defaults: TensorBoard every 50 updates, its bar, a checkpoint an epoch."""
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import TensorBoardLogger

    model, optimizer, scheduler = built(task)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            images, labels = batch
            loss = F.cross_entropy(self.model(images), labels)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return [optimizer], [scheduler]

        def on_train_epoch_start(self) -> None:
            clock.epoch_begins()

    trainer = pl.Trainer(accelerator="cpu", max_epochs=task.epochs, logger=TensorBoardLogger("."))
    with terminal():
        trainer.fit(Module(), loader)
    return model


def accelerate(task: Task, clock: Clock) -> nn.Module:
    require("accelerate")
    from accelerate import Accelerator

    model, optimizer, scheduler = built(task)
    accelerator = Accelerator(cpu=True)
    wrapped, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, tensor_loader(task), scheduler)
    wrapped.train()
    for _ in range(task.epochs):
        clock.epoch_begins()
        for images, labels in loader:
            loss = F.cross_entropy(wrapped(images), labels)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()
    return model


def ignite(task: Task, clock: Clock) -> nn.Module:
    require("ignite")
    from ignite.engine import Events, create_supervised_trainer

    model, optimizer, scheduler = built(task)
    trainer = create_supervised_trainer(model, optimizer, F.cross_entropy)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda _: clock.epoch_begins())
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: scheduler.step())
    trainer.run(tensor_loader(task), max_epochs=task.epochs)
    return model


def require(package: str) -> None:
    """Raise Missing where `package` is not installed."""
    with contextlib.suppress(ValueError):
        if importlib.util.find_spec(package) is not None:
            return
    raise Missing(f"{package} is not installed; pip install -e '.[bench]'")


WAYS = {
    "bare loop, one batch over and over": one_batch,
    "bare loop, tensors by index": in_memory,
    "bare loop, DataLoader(TensorDataset)": with_loader,
    "lrlab, complete run": lrlab_run,
    "bare loop, DataLoader(MNIST), as in tutorials": tutorial,
    "Lightning, DataLoader(TensorDataset)": lightning_on_tensors,
    "Lightning, DataLoader(MNIST)": lightning_tutorial,
    "Accelerate, DataLoader(TensorDataset)": accelerate,
    "Ignite, DataLoader(TensorDataset)": ignite,
}
