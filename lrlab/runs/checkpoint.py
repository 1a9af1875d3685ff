"""Checkpoints. They are written whole or not at all, loaded without running code, and refused where they do not fit."""

import copy
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import torch

from lrlab.config.earlier import in_todays_words
from lrlab.errors import UserError, first_line, wrong
from lrlab.runs import form
from lrlab.system import archive, disk

FORMAT = 3
LAST, PREVIOUS, BEST = (Path(f"checkpoints/{name}.pt") for name in ("last", "previous", "best"))
BEST_BEFORE = Path("checkpoints/best_before.pt")  # is there only while last.pt does not know the newer best.pt yet
_PLAIN = frozenset((bool, int, float, str, type(None)))  # what needs no closer look, as in a generator's long state


class Damaged(UserError):
    """The file is no whole checkpoint: torch's own checksums disagree, or what the file says twice does."""


def save(path: Path, contents: dict[str, Any], *, before: Path | None = None) -> None:
    """Write `contents` (tensors, numbers, strings and containers of them) to `path`, atomically.

    A temporary file in the same folder is written and synced. It is renamed over `path`, and the folder is synced. So
    `path` holds the old checkpoint or the new one, whole, whenever the process or the machine stops. The old one stays
    as `before` where that is given. torch gives every record its CRC-32, which `load` checks.
    Raises disk.Refused where the disk does not take it.
    """
    temporary = path.with_suffix(".tmp")
    with disk.writing(path):
        path.parent.mkdir(exist_ok=True)
    try:
        archive.write(temporary, partial(_save, {"lrlab": FORMAT, **contents}), meant=path)
        with disk.writing(path):
            if before is not None and path.exists():
                _link(path, before)
            os.replace(temporary, path)
            _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _save(contents: dict[str, Any], sink: Any) -> None:
    """Call `torch.save`. Its checksums, which `load` checks, are on even where the user's code turned them off."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(True)
    try:
        torch.save(contents, sink)
    finally:
        torch.serialization.set_crc32_options(before)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link(file: Path, name: Path) -> None:
    """Make `name` a second name of `file`, at once. Where the file system has no links, `file` is renamed."""
    temporary = name.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
    except OSError:
        os.replace(file, name)
    else:
        os.replace(temporary, name)


def settle_best(folder: Path, best_epoch: int | None) -> None:
    """Have best.pt be the one that last.pt speaks of, of `best_epoch`: where a run was killed it may be a newer one."""
    before, best = folder / BEST_BEFORE, folder / BEST
    if best_epoch is None:  # the first one was cut off
        best.unlink(missing_ok=True)
    if not before.is_file():
        return
    if _best_epoch(before) == best_epoch and _best_epoch(best) != best_epoch:
        os.replace(before, best)
    else:
        before.unlink()


def _best_epoch(path: Path) -> int | None:
    """The epoch that a best.pt holds; None where that cannot be read."""
    try:
        return load(path)["progress"]["best_epoch"]
    except (UserError, KeyError, TypeError):
        return None


def find(target: str) -> Path:
    """The checkpoint that is meant by `target`, a run's folder or a `.pt` file."""
    path = disk.expanded(target, "resume")
    files = [path / LAST, path / PREVIOUS] if path.is_dir() else [path]
    for file in files:
        with disk.reading(file):  # a folder may be closed to this user
            if file.is_file():
                return file
    got = f"{target}, a folder without {LAST}" if path.is_dir() else f"{target}, which does not exist"
    if path.exists() and not path.is_dir():
        got = f"{target}, which is no file"
    raise wrong(
        "resume",
        got=got,
        allowed="a run's folder, or one of its checkpoints/*.pt",
        do="resume=outputs/runs/NAME, or start the run again without resume",
    )


def latest(target: str, warn: Callable[[str], None]) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that `target` means, and its contents. If a folder's last one is damaged, the one before it.

    `warn` is told of the damage. Raises what `find` and `load` raise.
    """
    path = find(target)
    try:
        return path, load(path)
    except Damaged as error:
        earlier = path.with_name(PREVIOUS.name)
        is_folder = disk.expanded(target, "resume").is_dir()
        if not is_folder or path == earlier or not earlier.is_file():
            raise
        contents = load(earlier)
        warn(f"{error.complaint}; {earlier.name}, the one before it, is used instead")
        return earlier, contents


def load(path: Path) -> dict[str, Any]:
    """The contents of the checkpoint `path`, on the CPU. Never runs code that the file may hold.

    Raises Damaged where it is not whole, and UserError where it cannot be read or is of another format.
    """
    # Read it, if it is whole.
    with disk.reading(path), path.open("rb") as file:
        try:
            archive.require_whole(file)
        except archive.Broken as error:
            reason = f"{error}: damaged, cut short, or not a checkpoint"
            raise _unreadable(path, reason).of_kind(Damaged) from error
        contents = _unpickle(file, path)

    # Is it one of ours?
    written = contents.get("lrlab") if isinstance(contents, dict) else None
    if written != FORMAT:
        raise _foreign(path, written)
    if not form.has_an_end(contents):
        raise _malformed(path, "contents stand for far more than the file holds")
    return {**contents, "config": in_todays_words(contents.get("config"))}


def _unpickle(file: BinaryIO, path: Path) -> Any:
    """What the open, whole `file` holds. Raises UserError where torch refuses to load it."""
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about kinds of tensors that no run saves, which are refused
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:  # says nothing about what the file holds
        raise
    except Exception as error:
        raise _unreadable(path, f"{type(error).__name__}: it is whole, but torch does not load it") from error


def _unreadable(path: Path, reason: str) -> UserError:
    other = path.with_name(BEST.name if path.name == LAST.name else LAST.name)
    return wrong(
        "resume",
        got=f"{path}, which cannot be read ({reason})",
        allowed="a whole checkpoint that lrlab wrote",
        do=f"try another one, such as {other}",
    )


def _malformed(path: Path, fault: str) -> UserError:
    """The error about a file of which a part is not what it should be."""
    return wrong(
        "resume",
        got=f"{path}, whose {fault}",
        allowed="a checkpoint as lrlab writes it",
        do="the checkpoint as it was, or start a new run",
    )


def require_form(path: Path, contents: dict[str, Any]) -> None:
    """Raise UserError, which names the part, where the contents of a checkpoint are not as a run saves them."""
    if fault := form.first_fault(contents):
        raise _malformed(path, fault)


@contextmanager
def restoring(path: Path, part: str) -> Iterator[None]:
    """Raise UserError where the block, which puts a `part` of the checkpoint `path` in place, fails."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, OverflowError) as error:
        raise _malformed(path, f"{part} cannot be used ({type(error).__name__}: {first_line(error)})") from error


def _foreign(path: Path, written: Any) -> UserError:
    """The error about a file of another format than this lrlab writes."""
    what, do = f"of format {written}", "use the version of lrlab that wrote it"
    if written is None:
        what, do = "which lrlab did not write", "resume=outputs/runs/NAME"
    return wrong("resume", got=f"{path}, {what}", allowed=f"a checkpoint that lrlab wrote, of format {FORMAT}", do=do)


def copied(contents: dict[str, Any]) -> dict[str, Any]:
    """A copy of the contents of a checkpoint, on the CPU, which later training leaves as it is."""
    copies: dict[tuple[Any, ...], torch.Tensor] = {}

    def copy_of(tensor: torch.Tensor) -> torch.Tensor:
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)  # tied ones stay tied
        if place not in copies or not tensor.numel():
            copies[place] = tensor.detach().to("cpu", copy=True)
        return copies[place]

    return _each_tensor(contents, copy_of)


def _each_tensor(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """`value` with new containers, and every tensor in it changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        made = copy.copy(value)
        for key, one in value.items():
            made[key] = _each_tensor(one, change)
        return made
    if type(value) in (list, tuple):
        if _PLAIN.issuperset(map(type, value)):
            return copy.copy(value)
        return type(value)(_each_tensor(one, change) for one in value)
    return copy.copy(value)


def plain_numbers(value: Any) -> Any:
    """`value` with NumPy's numbers in it as Python's: schedules of others return them, `load` takes only plain ones."""
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, dict):  # a Counter stays one
        made = copy.copy(value)
        for key, one in value.items():
            made[key] = plain_numbers(one)
        return made
    if type(value) in (list, tuple) and not _PLAIN.issuperset(map(type, value)):
        return type(value)(plain_numbers(one) for one in value)
    return value


def require_readable(path: Path) -> None:
    """Raise UserError unless `path`, just written, can be read. `save` takes anything, `load` only plain contents."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        unsafe = re.search(r"(?:GLOBAL|global) (\S+)", str(error))
        reason = unsafe[1] if unsafe else type(error).__name__
        raise wrong(
            "checkpoint",
            got=f"state that cannot be read back ({reason})",
            allowed="tensors, numbers, strings, and lists, tuples and dicts of them",
            do="convert it in the state_dict() of your scheduler, optimizer or model",
        ) from error
