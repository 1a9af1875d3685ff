"""What a run remembers of its data, so that it is known again: by the same process, elsewhere, or after a change.

A folder of images is known by its classes and by each file's name, size and beginning, never by times: `git checkout`
and `rsync` without `-t` change those. What is asked of the disk has a bound, so that a million files cost little more
than their listing: all names count, the sizes of 10,000 files spread over them, and the first 64 KiB of 256.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SIZES, _BEGINNINGS, _NAMED = 10_000, 256, 64  # of so many files; the last are also kept by name
_BEGINNING_BYTES = 2**16


def of(dataset: Any) -> dict[str, Any] | None:
    """What is to be remembered of `dataset`; None where it does not say.

    That is what its method `known_by` returns or, without one, its `fingerprint`.
    """
    if hasattr(dataset, "known_by"):
        return dataset.known_by()
    return {"fingerprint": str(dataset.fingerprint())} if hasattr(dataset, "fingerprint") else None


def of_files(homes: Sequence[Path], samples: Sequence[tuple[str, int]], classes: Sequence[str]) -> dict[str, Any]:
    """Of the image files `samples`, each a path and the index of its class, whose folder is in `homes`.

    `classes` holds a count and a hash for each, in the order of their labels; `files` what is known of some by name.
    """
    hashes = [hashlib.blake2b(digest_size=8) for _ in classes]
    counts, files = [0] * len(classes), {}
    sized, begun, named = (spread(len(samples), most) for most in (_SIZES, _BEGINNINGS, _NAMED))
    above = [len(os.path.join(home, "")) for home in homes]
    for index, (path, label) in enumerate(samples):
        name = path[above[label] :]
        size = _size(path) if index in sized else None
        beginning = _beginning(path) if index in begun else ""
        counts[label] += 1
        hashes[label].update(os.fsencode(f"{name} {size} {beginning}\0"))
        if index in named:
            files[_plain(f"{classes[label]}/{name}")] = [size, beginning]
    told = {_plain(name): [counts[label], hashes[label].hexdigest()] for label, name in enumerate(classes)}
    return {"classes": told, "files": files}


def spread(count: int, most: int) -> set[int]:
    """At most so many of the indices below `count`, as far apart as they go."""
    return {index * count // most for index in range(most)} if count > most else set(range(count))


def _plain(name: str) -> str:
    """A name as it can be printed and saved: with escapes for bytes that are no text, and for what moves a cursor."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _size(path: str) -> int:
    """In bytes; -1 of a file that cannot be read, which is told when it is decoded."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _beginning(path: str) -> str:
    """A hash of the file's first bytes."""
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            return ""
        with open(path, "rb") as file:
            return hashlib.blake2b(file.read(_BEGINNING_BYTES), digest_size=4).hexdigest()
    except OSError:
        return ""
