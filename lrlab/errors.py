"""The two ways in which a run ends early without a bug: a mistake to mend, and a signal."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend; its text is the one line that the user reads."""


class DataError(UserError):
    """An image or a label is not what it should be, which shows when it is read: what was trained before is sound."""


class Interrupted(BaseException):
    """A run was stopped by a signal after its state was saved.

    Not an `Exception`, so that a sweep in progress ends too instead of going on with its next run.
    """

    def __init__(self, signal_number: int):
        super().__init__(signal_number)
        self.signal_number = signal_number


def wrong(key: str, *, got: object, allowed: str, do: str) -> UserError:
    """The error of one setting, in the three parts that every message has.

    >>> print(wrong("trainer.epochs", got=0, allowed="an integer >= 1", do="trainer.epochs=10"))
    trainer.epochs: got 0; allowed: an integer >= 1; do: trainer.epochs=10
    """
    return UserError(f"{key}: got {got}; allowed: {allowed}; do: {do}")


def in_words(error: BaseException) -> str:
    """What ended a run, in one line."""
    if isinstance(error, SystemExit):
        return f"the run called sys.exit({error.code})"
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}".removesuffix(": ")


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without its full stop; its type where it says nothing.

    >>> first_line(OSError("No such file.\\nTry another.")), first_line(KeyError())
    ('No such file', 'KeyError')
    """
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0].rstrip(".")


def closest(word: str, options: Iterable[str]) -> str | None:
    """The option that looks most like `word`, or None where none does.

    >>> closest("cosin", ["step", "cosine", "cosine_bounce"])
    'cosine'
    """
    matches = difflib.get_close_matches(word, list(options), n=1, cutoff=0.65)
    return matches[0] if matches else None
