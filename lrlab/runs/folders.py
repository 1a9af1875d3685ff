"""Folders of runs. Each is writable, and belongs to one run only."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lrlab.errors import wrong


def reserve(folder: Path) -> Path:
    """Make `folder` and return it. Where it exists, make the first of `folder-2`, `folder-3`, ... that does not.

    Making a folder is atomic, so two processes that start in the same second get two folders.
    """
    candidate, number = folder, 1
    while True:
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            number += 1
            candidate = folder.with_name(f"{folder.name}-{number}")


def require_plain(folder: Path) -> None:
    """Raise UserError where a part of the run in `folder` is a link, or neither a file nor a folder.

    The run would cut and write files elsewhere, or wait for ever for the other end of a pipe.
    """
    inside: list[Path] = []
    if folder.is_dir():
        inside = [*folder.iterdir(), *(folder / "checkpoints").glob("*")]
    for path in [folder, *inside]:
        require_no_link(path)
        if path.exists() and not path.is_file() and not path.is_dir():
            got = f"{path}, a pipe, a socket or a device"
            raise wrong("folder", got=got, allowed="files and folders of its own", do="remove it")


def require_no_link(path: Path) -> None:
    """Raise UserError where `path`, to which something is about to be written, leads elsewhere."""
    if path.is_symlink():
        raise wrong(
            "folder",
            got=f"{path}, a link to {path.resolve()}",
            allowed="files and folders of its own",
            do="copy what it means into its place, or remove it",
        )


def missing(folder: Path) -> list[Path]:
    """Those of `folder` and the folders above it that do not exist, the innermost first."""
    return [path for path in [folder, *folder.parents] if not path.exists()]


def discard_unused(folder: Path, made: Sequence[Path] = ()) -> None:
    """Remove `folder` if it holds nothing but the log of a run that ended before it began.

    Those of the folders above it that were `made` for it, the innermost first, go too as far as they are empty.
    """
    if [path.name for path in folder.iterdir()] == ["train.log"]:
        (folder / "train.log").unlink()
        folder.rmdir()
        with suppress(OSError):  # another run has come into it
            for above in made:
                if above != folder:
                    above.rmdir()


def require_writable(folder: Path) -> None:
    """Raise UserError where `folder`, which may not exist yet, could not be made or written to."""
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise wrong(
            "folder",
            got=f"{folder}, but {existing} is no folder that this user may write to",
            allowed="a place to write to",
            do="start from another folder",
        )
