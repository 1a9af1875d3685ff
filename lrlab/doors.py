"""Modules that `python -m` runs and that Python code calls: `python -m lrlab.preview ...` and `lrlab.preview(...)`.

Whoever imports such a module finds it as the attribute of the package, in place of the function of that name. So the
module itself can be called.
"""

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any


class Door(ModuleType):
    """A module that is called as the function `_function` in the module `_home`."""

    _home: str
    _function: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._called(*args, **kwargs)

    @property
    def _called(self) -> Any:
        return getattr(importlib.import_module(self._home), self._function)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._called)

    @property
    def __wrapped__(self) -> Any:
        return self._called


def let_call(name: str, home: str) -> None:
    """Let the module `name` be called as the function of that name in `home`, with its signature and its help."""
    module = sys.modules[name]
    module.__class__ = Door
    module._home = home  # type: ignore[attr-defined]
    module._function = name.rpartition(".")[2]  # type: ignore[attr-defined]
