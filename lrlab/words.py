"""Words on a screen: "1 epoch" and "20 epochs" by the same function everywhere, and texts of others made safe."""

from collections.abc import Sequence


def counted(count: int, noun: str, plural: str = "") -> str:
    """`count` and its noun, in the singular where it is one.

    >>> counted(1, "run"), counted(12_420, "update"), counted(0, "class", "classes")
    ('1 run', '12,420 updates', '0 classes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def epochs_in_words(epochs: int | float) -> str:
    """A number of epochs, perhaps with a fraction.

    >>> epochs_in_words(1), epochs_in_words(20), epochs_in_words(0.5), epochs_in_words(47.6190476190)
    ('1 epoch', '20 epochs', '0.5 epochs', '47.62 epochs')
    """
    if epochs == int(epochs):
        return counted(int(epochs), "epoch")
    return f"{epochs:,.4g} epochs" if epochs < 1000 else f"{epochs:,.1f} epochs"


def budget_in_words(seconds: float) -> str:
    """A budget of time.

    >>> budget_in_words(1800), budget_in_words(5400), budget_in_words(90), budget_in_words(7200)
    ('30 min', '90 min', '90 s', '2 h')
    """
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


MANY, FEW = 60, 20  # of more than many lines, rows or names a few are shown, and how many more there are


def few(several: Sequence[str], more: str = "{} more") -> list[str]:
    """`several` texts; of very many the first few, and how many `more` there are.

    >>> few(["a", "b"]), few(["a"] * 100)[-2:]
    (['a', 'b'], ['a', 'and 80 more'])
    """
    if len(several) <= MANY:
        return list(several)
    return [*several[:FEW], "and " + more.format(f"{len(several) - FEW:,}")]


def printable(text: str) -> str:
    r"""`text` in one line that no terminal obeys: what would move its cursor or change its colours is replaced.

    >>> ascii(printable("\x1b[2Jgone")), ascii(printable("two\nlines"))
    ("'\\ufffd[2Jgone'", "'two\\ufffdlines'")
    """
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def kind_of(value: object) -> str:
    """The name of a value's class, with its article.

    >>> kind_of(3), kind_of([]), kind_of(None), kind_of(type("SGD", (), {})())
    ('an int', 'a list', 'None', 'an SGD')
    """
    if value is None:
        return "None"
    name = type(value).__name__
    vowels = "AEFHILMNORSX" if name[:2].isupper() else "AEIOUaeiou"  # of what is spelled letter by letter, and of words
    return f"{'an' if name[0] in vowels else 'a'} {name}"
