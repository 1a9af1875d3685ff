"""What was found out of settings, kept for the runs of a sweep that have them in common."""

from collections.abc import Callable
from typing import Any, TypeVar

_Value = TypeVar("_Value")
_MOST = 4  # of what may be large, as opened data is


class FoundOut:
    """Finds each thing out once for equal settings. Nobody changes what was found: others have it too."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._found: dict[str, dict[Any, Any]] = {}

    def number(self, settings: Any) -> int:
        """The same number for the same settings, plain values in the same order, and for no others."""
        return self._numbers.setdefault(repr(settings), len(self._numbers))

    def __call__(self, what: str, of: tuple[int, ...], find: Callable[[], _Value], *, is_large: bool = False) -> _Value:
        """What `find` finds `of` settings with these numbers. What it raises is found out anew each time."""
        found = self._found.setdefault(what, {})
        if of not in found:
            value = find()
            if is_large and len(found) >= _MOST:
                del found[next(iter(found))]
            found[of] = value
        return found[of]
