"""Names that have moved: configs, checkpoints, commands and code of users may still have the old ones."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

# A name begins with one of these; configs that were saved with an old one mean the new one.
PLACES = {
    "lrlab.datasets.": "lrlab.data.datasets.",
    "lrlab.greedy.": "lrlab.lr.greedy.",
    "lrlab.chains.": "lrlab.lr.torch_composites.",
}
SETTINGS = {"trainer.label_smoothing": "task.label_smoothing"}


def current(name: str) -> str:
    """The full name that the class or function `name` has today.

    >>> current("lrlab.datasets.digits"), current("torch.optim.SGD")
    ('lrlab.data.datasets.digits', 'torch.optim.SGD')
    """
    for old, new in PLACES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def forward(module: str) -> Callable[[str], Any]:
    """A `__getattr__` for the old `module`, which finds its names at their new place and warns."""

    def find(name: str) -> Any:
        old = f"{module}.{name}"
        place, _, leaf = current(old).rpartition(".")
        try:
            found = getattr(importlib.import_module(place), leaf)
        except AttributeError:
            raise AttributeError(f"module {module!r} has no attribute {name!r}") from None
        if not name.startswith("__"):
            warnings.warn(f"{old} has moved to {place}.{leaf}", DeprecationWarning, stacklevel=2)
        return found

    return find
