"""Names of classes and functions: those that have moved, which users may still have, and what is behind them now."""

import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Any

# A name begins with one of these; configs that were saved with an old one mean the new one.
PLACES = {
    "lrlab.datasets.": "lrlab.data.datasets.",
    "lrlab.greedy.": "lrlab.lr.greedy.",
    "lrlab.chains.": "lrlab.lr.torch_composites.",
}
_IMPORTED_FROM = ("lrlab.", "torch.optim.")
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


def imported(target: str) -> Any:
    """What `target` names in a module of torch's optimizers or lrlab's that is imported; None where it names no such.

    `pkgutil.resolve_name` finds the same, and looks for a module of that name first, which takes a hundred times as
    long.
    """
    module, _, name = target.rpartition(".")
    if not target.startswith(_IMPORTED_FROM) or target in sys.modules or module not in sys.modules:
        return None
    return vars(sys.modules[module]).get(name)
