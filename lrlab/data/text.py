"""A text as windows of characters or bytes, each of which is to be predicted from those before it.

The text is split contiguously: the training windows come first, then those for validation, then those for testing. So
no window lies in two splits, and none is predicted from a text that was trained on.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from lrlab.data.held_out import share
from lrlab.data.map_datasets import Tensors
from lrlab.data.splits import Splits
from lrlab.errors import wrong
from lrlab.system import disk

CHARACTERS, BYTES = "characters", "bytes"
# Lewis Carroll, Alice's Adventures in Wonderland, 1865: in the public domain.
BUNDLED = "alice.txt"
BUNDLED_SHA256 = "6253d049ab536e4ae0b27edc91cd83fc36c6674e74f6d26974af3e9772f6ac6e"
_ENDINGS = (".txt", ".md")  # of the files of a folder
_MOST_BYTES = 4_000_000_000  # of a text, which is kept in memory


def text(
    root: str | Sequence[str] | None = None,
    tokens: str = CHARACTERS,
    length: int = 64,
    val: float | str = "10%",
    test: float | str | None = "10%",
) -> Splits:
    """Windows of `length` tokens of a text, with the next token of each as its target.

    `root` is a text file, a folder of them (*.txt, *.md, in the order of their names) or several; None is the bundled
    text. A token is a character, which the text's own alphabet numbers, or a byte. The last share `test` of the text is
    for testing, the share `val` before it for validation. Raises UserError for what is no text in UTF-8, and for a
    split that is shorter than a window.
    """
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise wrong("data.length", got=length, allowed="an integer >= 1", do="data.length=64")
    if tokens not in (CHARACTERS, BYTES):
        raise wrong("data.tokens", got=tokens, allowed=f"{CHARACTERS}, {BYTES}", do=f"data.tokens={CHARACTERS}")
    content = _read(root)
    encoded = _encoded(content, tokens)
    bounds = _bounds(len(encoded.tokens), val, test)
    digest = hashlib.sha256(content).hexdigest()
    parts = []
    for name, (first, last) in bounds.items():
        windows = (last - first - 1) // length
        if windows < 1:
            got = f"{last - first} {tokens} for {name}, too few for a window of {length} and what comes after it"
            raise wrong("data.length", got=got, allowed="a window in each split", do="data.length=16, or a longer text")
        parts.append(_part(encoded, first, windows, length, name=f"{digest}, {tokens}, {name}"))
    train, held_out, *tested = parts
    return Splits(
        train,
        held_out,
        num_classes=len(encoded.vocabulary),
        test=tested[0] if tested else None,
        noun="window",
        vocabulary=encoded.vocabulary,
    )


class Encoded(NamedTuple):
    """A text as numbers."""

    tokens: Tensor  # (T,) int32
    vocabulary: tuple[str, ...]  # what each number stands for


def _encoded(content: bytes, tokens: str) -> Encoded:
    if tokens == BYTES:
        values = numpy.frombuffer(content, dtype=numpy.uint8).astype(numpy.int32)
        return Encoded(torch.from_numpy(values), tuple(chr(byte) for byte in range(256)))
    points = numpy.frombuffer(content.decode().encode("utf-32-le"), dtype=numpy.uint32)
    alphabet, places = numpy.unique(points, return_inverse=True)
    return Encoded(torch.from_numpy(places.astype(numpy.int32)), tuple(chr(point) for point in alphabet))


def _bounds(count: int, val: float | str, test: float | str | None) -> dict[str, tuple[int, int]]:
    """Where each split begins and ends, in tokens."""
    tested = 0.0 if test is None else share("data.test", test, or_else=", or null for no test split")
    held_out = share("data.val", val)
    if held_out + tested >= 1:
        got = f"{val}, with {test} for testing"
        raise wrong("data.val", got=got, allowed="shares that leave some text to learn from", do="data.val=10%")
    last_of_val = round(count * (1 - tested))
    last_of_train = round(count * (1 - tested - held_out))
    bounds = {"training": (0, last_of_train), "validation": (last_of_train, last_of_val)}
    if test is not None:
        bounds["testing"] = (last_of_val, count)
    return bounds


def _part(encoded: Encoded, first: int, windows: int, length: int, *, name: str) -> Tensors:
    """So many windows, one after another from the token `first` on."""

    def load() -> tuple[Tensor, Tensor]:
        inputs = encoded.tokens[first : first + windows * length]
        targets = encoded.tokens[first + 1 : first + 1 + windows * length]
        return inputs.view(windows, length), targets.view(windows, length)

    fingerprint = hashlib.sha256(f"{name}, {first}, {windows}, {length}".encode()).hexdigest()
    return Tensors(
        windows,
        (length,),
        load,
        num_classes=len(encoded.vocabulary),
        target_shape=(length,),
        fingerprint=fingerprint,
    )


def _read(root: str | Sequence[str] | None) -> bytes:
    """The whole text in UTF-8, checked."""
    if root is None:
        return _bundled()
    paths = _files([root] if isinstance(root, str) else list(root))
    content = b"".join(map(_of_file, paths))
    if not content:
        got = f"{', '.join(map(str, paths))} without any text"
        raise wrong("data.root", got=got, allowed="files with text", do="data.root=FILE.txt")
    return content


def _of_file(path: Path) -> bytes:
    """The bytes of a file, which are a text in UTF-8, without the mark of its byte order."""
    try:
        content = disk.read_regular(path, _MOST_BYTES).removeprefix(b"\xef\xbb\xbf")
        content.decode()
    except UnicodeDecodeError as error:
        got = f"{path}, which is no text in UTF-8 (byte {error.start:,})"
        raise wrong("data.root", got=got, allowed="text files in UTF-8", do="iconv -t UTF-8 the file") from error
    except OSError as error:
        got = f"{path}, which cannot be read ({error.strerror or error})"
        raise wrong("data.root", got=got, allowed="text files", do="data.root=FILE.txt") from error
    return content


def _files(roots: Sequence[str]) -> list[Path]:
    """The files that `roots` name: themselves, or those of text in a folder."""
    found: list[Path] = []
    for root in roots:
        path = disk.expanded(root, "data.root")
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in _ENDINGS and one.is_file())
            if not inside:
                got = f"{path}, a folder without {' or '.join(f'*{ending}' for ending in _ENDINGS)}"
                raise wrong("data.root", got=got, allowed="text files, or a folder of them", do="data.root=FILE.txt")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            got = f"{path.absolute()}, which does not exist"
            raise wrong("data.root", got=got, allowed="text files, or a folder of them", do="data.root=null")
    return found


@cache
def _bundled() -> bytes:
    """The text that comes with lrlab, which is checked: results are of this very text."""
    content = files("lrlab.data").joinpath("texts", BUNDLED).read_bytes()
    if hashlib.sha256(content).hexdigest() != BUNDLED_SHA256:
        got = f"{BUNDLED}, which is not as it was shipped"
        raise wrong("data", got=got, allowed="the bundled text", do="install lrlab again, or data.root=FILE.txt")
    return content


def bytes_of_tokens(vocabulary: Sequence[str], num_classes: int) -> Tensor:
    """How many bytes of UTF-8 each token (V,) stands for, float32; a byte each where the tokens are bytes.

    >>> bytes_of_tokens(("a", "\u00e9"), 2).tolist()
    [1.0, 2.0]
    """
    if num_classes == 256 and list(vocabulary) == [chr(byte) for byte in range(256)]:
        return torch.ones(num_classes)
    return torch.tensor([float(len(token.encode(errors="surrogatepass"))) for token in vocabulary])
