"""A small training for tests of the loop: 40 images, 5 updates an epoch, batch norm and dropout."""

from functools import partial

import torch
from torch import nn
from torch.optim import lr_scheduler

from lrlab.data.batches import Batches, Batching
from lrlab.data.map_datasets import Images
from lrlab.system import randomness
from lrlab.training.loop import Epoch, Update, fit
from lrlab.training.state import TrainState

CPU = torch.device("cpu")
EPOCHS, STEPS = 4, 5


def batches(train: bool = True, count: int = 40) -> Batches:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    labels = (images.float().mean((1, 2, 3)) > 127).long()
    dataset = Images(count, (1, 4, 4), 2, lambda: (images, labels))
    return Batches(dataset, Batching(batch_size=8, shift=1), num_classes=2, seed=0, device=CPU, train=train)


HALVED_EACH_EPOCH = partial(lr_scheduler.ExponentialLR, gamma=0.5)


def make_state(scheduler=HALVED_EACH_EPOCH, lr: float = 0.1) -> TrainState:
    randomness.seed_everything(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return TrainState(model, optimizer, scheduler(optimizer), CPU)


def run(state: TrainState, **settings) -> list:
    return list(fit(state, batches(), batches(train=False, count=20), **{"epochs": EPOCHS, **settings}))


def updates(events: list) -> list[Update]:
    return [event for event in events if isinstance(event, Update)]


def epochs(events: list) -> list[Epoch]:
    return [event for event in events if isinstance(event, Epoch)]
