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


def write_study(
    folder: Path,
    judged: Mapping[str, Sequence[float]],
    *,
    maximum: int = 20,
    looks: int = 4,
    tuned: Mapping[str, Mapping[float, Sequence[float]]] | None = None,
    margin: float | None = None,
    images: int = IMAGES,
    collapsed_below: float | None = None,
) -> Path:
    """Write the folder of a study whose judging runs ended at these test accuracies; None for one that diverged.

    `tuned` are accuracies of tuning runs on val, by candidate, LR and seed; by default one run each.
    """
    from lrlab.comparison import design, pairs, sequential
    from lrlab.comparison.design import Design, Protocol, Record, SeededRun

    names = [*judged]
    tuned = tuned or {name: {0.1: [0.9]} for name in names}
    at = sequential.looks(maximum, looks)
    seeds = design.seeds_of(names, maximum, "welch")
    record = Record(
        command="lrlab study fabricated",
        protocol=Protocol(
            candidates={name: [f"scheduler={name}"] for name in names},
            metric="accuracy",
            margin=margin,
            epochs=2,
            split={"train": 1293, "val": 144, "test": images, "held_out": "10%", "split_seed": 0},
            tuning=sum(len(values) for values in tuned[names[0]].values()),
            grids={name: [*by_lr] for name, by_lr in tuned.items()},
            maximum=maximum,
            looks=list(at),
            test="auto",
        ),
        design=Design(
            lrs={name: max(by_lr, key=lambda lr: sum(by_lr[lr]) / len(by_lr[lr])) for name, by_lr in tuned.items()},
            seeds=seeds,
            test="welch",
            why="as fabricated",
            levels=list(sequential.levels(at, pairs.count(len(names)), "welch")),
            row_levels=list(sequential.levels(at, len(names), "paired", sequential.SPENDING_ON_MEANS)),
            collapsed={} if collapsed_below is None else dict.fromkeys(names, collapsed_below),
        ),
    )
    tuning: dict[str, list[SeededRun]] = {name: [] for name in names}
    judging: dict[str, list[SeededRun]] = {name: [] for name in names}
    for name, by_lr in tuned.items():
        for lr, values in by_lr.items():
            for seed, value in enumerate(values):
                run = SeededRun(lr, seed, f"{name},lr={lr:g},seed={seed}")
                write_run(folder / "tuning" / run.folder, scheduler=name, lr=lr, seed=seed, accuracy=value)
                tuning[name].append(run)
    for name, values in judged.items():
        for seed, value in zip(seeds[name], values, strict=False):
            run = SeededRun(record.design.lrs[name], seed, f"{name},seed={seed}")
            write_judged(folder / "judging" / run.folder, scheduler=name, lr=run.lr, seed=seed, accuracy=value)
            judging[name].append(run)
    most = max((len(values) for values in judged.values()), default=0)
    made = len([seeds for seeds in at if seeds <= most])
    record = Record(record.command, record.protocol, record.design, made, (), tuning, judging)
    record.write(folder)
    (folder / "judging").mkdir(parents=True, exist_ok=True)
    facts = {"command": record.command, "runs": [], "design": record.fingerprint}
    (folder / "judging" / "sweep.json").write_text(json.dumps(facts))
    return folder


def write_judged(folder: Path, *, accuracy: float | None, **settings: Any) -> Path:
    """Write a judging run that ended at this test accuracy, or diverged where it is None."""
    if accuracy is None:
        return write_run(folder, status="diverged", **settings)
    write_run(folder, accuracy=accuracy, **settings)
    score = {"weights": "last", "step": 20, "images": IMAGES, "looks": 1, "measured": {"test_accuracy": accuracy}}
    (folder / "test.json").write_text(json.dumps(score))
    return folder
