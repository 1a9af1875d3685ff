"""Counted things in words: "1 epoch" and "20 epochs", everywhere by the same function."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """`count` and its noun, in the singular where it is one.

    >>> counted(1, "run"), counted(12_420, "update"), counted(0, "class", "classes")
    ('1 run', '12,420 updates', '0 classes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
