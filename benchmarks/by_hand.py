"""A sweep over digits as somebody writes it by hand: bare loops in two processes with one thread each.

The same batches, shifts and initial weights as lrlab's, validated as often, and nothing recorded but the final weights.
"""

import json
import multiprocessing
import os
import sys
from itertools import product
from pathlib import Path
from typing import Any

SCHEDULERS, LRS = ("step", "exponential", "cosine"), (0.02, 0.05, 0.1)
PROCESSES = 2
Job = tuple[str, float, int]


def main() -> None:
    """Train the runs that the arguments describe, and save their weights in the folder that is named."""
    model, epochs, seeds, folder = json.loads(sys.argv[1])
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs = list(product(SCHEDULERS, LRS, range(seeds)))
    parts = [(model, epochs, jobs[first::PROCESSES], folder) for first in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(train_all, parts)


def train_all(part: tuple[str, int, list[Job], str]) -> None:
    """One process: its runs, one after another, on data that it reads once."""
    import torch

    from lrlab.data import datasets
    from lrlab.data.batches import Batches, Batching
    from lrlab.data.held_out import Holding

    torch.set_num_threads(1)
    model, epochs, jobs, folder = part
    splits = Holding("10%").apply(datasets.digits())
    batching, cpu = Batching(batch_size=64, shift=2, mean=[0.3054], std=[0.3760]), torch.device("cpu")
    settings: dict[str, Any] = {"num_classes": 10, "seed": 0, "device": cpu}
    train = Batches(splits.train, batching, **settings, train=True)
    val = Batches(splits.val, batching, **settings, train=False)
    for job in jobs:
        weights = trained(model, epochs, job, train, val)
        torch.save(weights, Path(folder) / f"{name_of(job)}.pt")


def trained(model: str, epochs: int, job: Job, train: Any, val: Any) -> Any:
    """The weights at the end of one run."""
    import torch
    import torch.nn.functional as F
    from torch.optim import lr_scheduler

    from lrlab import models
    from lrlab.system import randomness

    scheduler, lr, seed = job
    randomness.seed_everything(seed)
    train.seed = seed
    net = models.mlp((1, 8, 8), 10) if model == "mlp" else models.cnn((1, 8, 8), 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    make = {
        "step": lambda: lr_scheduler.StepLR(optimizer, epochs // 4, gamma=0.5),
        "exponential": lambda: lr_scheduler.ExponentialLR(optimizer, gamma=0.95),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, epochs),
    }
    stepped = make[scheduler]()
    for epoch in range(epochs):
        net.train()
        for images, labels in train.epoch(epoch):
            loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        stepped.step()
        net.eval()
        with torch.no_grad():
            for images, labels in val.epoch(0):
                outputs = net(images)
                F.cross_entropy(outputs, labels)
                (outputs.argmax(1) == labels).sum()
    return net.state_dict()


def name_of(job: Job) -> str:
    """The name that lrlab gives to the same run."""
    scheduler, lr, seed = job
    return f"scheduler={scheduler},lr={lr},seed={seed}"


if __name__ == "__main__":
    main()
