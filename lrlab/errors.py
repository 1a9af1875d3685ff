"""The two ways in which a run ends early without a bug: a mistake to mend, and a signal."""

import difflib
from collections.abc import Iterable
from typing import TypeVar, overload


class UserError(Exception):
    """A mistake that the user can mend; its text is the one line that the user reads.

    `wrong` makes it in three parts about a `key`, and they stay readable as attributes. They are None where only a
    text is known, as for an error that another process raised.
    """

    key: str | None = None
    got: str | None = None
    allowed: str | None = None
    do: str | None = None

    @property
    def complaint(self) -> str:
        """What is wrong, without what to do about it.

        >>> wrong("trainer.epochs", got=0, allowed="an integer >= 1", do="trainer.epochs=10").complaint
        'trainer.epochs: got 0'
        """
        return str(self) if self.key is None else f"{self.key}: got {self.got}"

    def under(self, key: str) -> "UserError":
        """This mistake as part of `key`.

        >>> print(wrong("floor", got=2, allowed="0 to 1", do="floor=0.01").under("scheduler"))
        scheduler: floor: got 2; allowed: 0 to 1; do: floor=0.01
        """
        if self.key is None:
            return UserError(f"{key}: {self}")
        return self._with(UserError, key=f"{key}: {self.key}")

    def adding(self, more: str) -> "UserError":
        """The same kind of error with `more` at its end."""
        if self.key is None:
            return type(self)(f"{self}; {more}")
        return self._with(type(self), do=f"{self.do}; {more}")

    def doing(self, do: str) -> "UserError":
        """The same mistake with something else to do about it."""
        return self._with(type(self), do=do)

    def of_kind(self, kind: type["UserError"]) -> "UserError":
        """The same message as an error of another `kind`."""
        return kind(str(self)) if self.key is None else self._with(kind)

    def _with(self, kind: type["UserError"], **changes: str) -> "UserError":
        parts = {name: getattr(self, name) for name in ("key", "got", "allowed", "do")}
        return wrong(**{**parts, **changes}, kind=kind)


class WrongArgument(UserError, ValueError):
    """An argument of a function that Python code calls too, where everybody expects a ValueError."""


class DataError(UserError):
    """An image or a label is not what it should be, which shows when it is read: what was trained before is sound."""


class Interrupted(BaseException):
    """A run was stopped by a signal after its state was saved.

    Not an `Exception`, so that a sweep in progress ends too instead of going on with its next run.
    """

    def __init__(self, signal_number: int):
        super().__init__(signal_number)
        self.signal_number = signal_number


Mistake = TypeVar("Mistake", bound=UserError)


@overload
def wrong(key: str, *, got: object, allowed: str, do: str) -> UserError: ...
@overload
def wrong(key: str, *, got: object, allowed: str, do: str, kind: type[Mistake]) -> Mistake: ...
def wrong(key: str, *, got: object, allowed: str, do: str, kind: type[UserError] = UserError) -> UserError:
    """The error about `key`, in the three parts that every message has; the only place that puts them together.

    >>> print(wrong("trainer.epochs", got=0, allowed="an integer >= 1", do="trainer.epochs=10"))
    trainer.epochs: got 0; allowed: an integer >= 1; do: trainer.epochs=10
    """
    error = kind(f"{key}: got {got}; allowed: {allowed}; do: {do}")
    # As text: what was got may be an object that no other process can be sent.
    error.key, error.got, error.allowed, error.do = key, str(got), allowed, do
    return error


def in_words(error: BaseException) -> str:
    """What ended a run, in one line."""
    if isinstance(error, SystemExit):
        return f"the run called sys.exit({error.code})"
    if isinstance(error, UserError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def complaint_of(error: BaseException) -> str:
    """What is wrong, in one line, without what to do about it."""
    return error.complaint if isinstance(error, UserError) else in_words(error)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without its full stop; its type where it says nothing.

    >>> first_line(OSError("No such file.\\nTry another.")), first_line(KeyError())
    ('No such file', 'KeyError')
    """
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0].rstrip(".")


_LETTERS = 3  # of an option that a longer name may hold


def closest(word: str, options: Iterable[str]) -> str | None:
    """The option that looks most like `word`, or None where none does.

    Capitals do not matter, and a longer name that holds an option, as a class of torch's may, is taken for it.

    >>> closest("cosin", ["step", "cosine", "cosine_bounce"])
    'cosine'
    >>> closest("AdamW", ["adam", "adamw"]), closest("CosineAnnealingLR", ["chained", "cosine"])
    ('adamw', 'cosine')
    """
    by_letters = {option.lower(): option for option in reversed(list(options))}
    matches = difflib.get_close_matches(word.lower(), list(by_letters), n=1, cutoff=0.65)
    held = [letters for letters in by_letters if len(letters) >= _LETTERS and letters in word.lower()]
    likely = matches or sorted(held, key=len, reverse=True)
    return by_letters[likely[0]] if likely else None
