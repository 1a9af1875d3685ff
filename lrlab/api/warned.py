"""Warnings of lrlab in Python, at the line of whoever called it."""

import sys
import warnings

_NOT_THEIRS = ("lrlab", "torch")


def warn(line: str, kind: type[Warning] = UserWarning) -> None:
    """Warn at the first line outside of lrlab's and torch's own files, which is what the user can change."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THEIRS:
        level, frame = level + 1, frame.f_back
    warnings.warn(line, kind, stacklevel=level)
