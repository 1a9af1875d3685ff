"""The default run as somebody writes it by hand in a file of its own: no command line, no checkpoints, no TensorBoard.

A process that runs this is what `python -m benchmarks startup` compares the default run with.
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

EPOCHS, BATCH = 20, 64


def split() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images (N, 1, 8, 8) float32, normalized, and labels (N,) int64, to train on and to validate with."""
    digits = load_digits()
    train, _, classes, _ = train_test_split(
        digits.images, digits.target, test_size=360, random_state=0, stratify=digits.target
    )
    parts = train_test_split(train, classes, test_size=144, random_state=0, stratify=classes)
    images = [(torch.tensor(part, dtype=torch.float32)[:, None] / 16 - 0.3054) / 0.376 for part in parts[:2]]
    return images[0], images[1], torch.tensor(parts[2]), torch.tensor(parts[3])


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def main() -> None:
    torch.manual_seed(0)
    images, val_images, labels, val_labels = split()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(EPOCHS):
        model.train()
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(val_images).argmax(1) == val_labels).float().mean()
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}, accuracy {accuracy.item():.2%}")


if __name__ == "__main__":
    main()
