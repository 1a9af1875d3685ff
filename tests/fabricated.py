"""Folders of runs that nobody trained: what a sweep would have left, with values whose truth is known."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

IMAGES = 360  # of which an accuracy is a count
VERSIONS = {"python": "3.11.7", "lrlab": "0.1.0", "torch": "2.15.0", "torchvision": "0.30.0"}

Table = Mapping[str, Mapping[float, Sequence[float]]]  # accuracies by scheduler, LR and seed


def counted(accuracy: float, images: int = IMAGES) -> float:
    """The accuracy that so many images can have, next to this one; at least 0 and at most 1."""
    return min(max(round(accuracy * images), 0), images) / images


def write_run(
    folder: Path,
    *,
    scheduler: str = "step",
    lr: float = 0.1,
    seed: int = 0,
    accuracy: float = 0.9,
    loss: float = 0.5,
    curve: Iterable[float] = (),
    epochs: int = 2,
    settings: Mapping[str, Any] | None = None,
    **said: Any,
) -> Path:
    """Write the folder of a run whose validation accuracy ends at `accuracy`, after the values in `curve`.

    `said` stands in its summary: status, device, versions, audit and the like.
    """
    folder.mkdir(parents=True, exist_ok=True)
    accuracies = [*curve, accuracy] if curve else [accuracy / 2] * (epochs - 1) + [accuracy]
    config = {
        "data": {"_target_": "lrlab.data.datasets.digits", "batch_size": 64},
        "model": {"_target_": "lrlab.models.mlp", "width": 64},
        "task": {"_target_": "lrlab.training.task.Classification", "label_smoothing": 0.0, "loss": None},
        "optimizer": {"_target_": "torch.optim.SGD", "lr": lr},
        "scheduler": {"_target_": f"torch.optim.lr_scheduler.{scheduler}"},
        "trainer": {"epochs": len(accuracies)},
        "seed": seed,
    }
    for key, value in (settings or {}).items():
        *groups, name = key.split(".")
        node = config
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))

    with (folder / "history.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["epoch", "step", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"])
        for epoch, value in enumerate(accuracies):
            rows.writerow([epoch, 10 * (epoch + 1), lr, loss, value, loss, value, 1.0])

    summary = {
        "status": "finished",
        "epochs": len(accuracies),
        "updates": 10 * len(accuracies),
        "seconds": float(len(accuracies)),
        "choices": {"data": "digits", "model": "mlp", "optimizer": "sgd", "scheduler": scheduler},
        "versions": VERSIONS,
        "device": "cpu (1 thread)",
        "audit": {"equal": True},
    }
    summary |= dict.fromkeys(("train_loss", "val_loss", "best_val_loss"), loss)
    summary |= {"train_accuracy": accuracy, "val_accuracy": accuracy, "best_val_accuracy": max(accuracies)}
    (folder / "summary.json").write_text(json.dumps({**summary, **said}))
    return folder


def write_sweep(folder: Path, table: Table, **said: Any) -> Path:
    """Write a sweep with these accuracies; the seeds count from 0."""
    for scheduler, by_lr in table.items():
        for lr, values in by_lr.items():
            for seed, value in enumerate(values):
                name = f"scheduler={scheduler},lr={lr:g},seed={seed}"
                write_run(folder / name, scheduler=scheduler, lr=lr, seed=seed, accuracy=counted(value), **said)
    return folder
