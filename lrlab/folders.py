"""Names and folders of runs: readable, safe in every file system, and never shared by two runs."""

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lrlab.errors import wrong
from lrlab.secrecy import holds_secret

LONGEST_NAME = 95  # so that no folder's name is over 120, with the date before it and a number behind it
# Where a run reads and computes, not what.
MACHINE = (
    *(
        "data.root",
        "data.download",
        "data.workers",
        "data.prefetch",
        "data.timeout",
        "data.cache",
        "data.cache_bytes",
        "data.cache_dir",
    ),
    "trainer.device",
    "trainer.timeout",
)
_UNSAFE = re.compile(r"[^A-Za-z0-9=,._+-]")
_SYNTAX = re.compile(r"[\[\]'\"]")


def run_name(overrides: Iterable[str], leave_out: Iterable[str] = MACHINE) -> str:
    """The name of a run, built from what the user overrode.

    Dotted keys are named by their last part (`optimizer.lr=0.1` is `lr=0.1`) unless two overrides share it. Where
    characters had to be replaced or cut, a hash of the whole keeps different overrides apart. Keys in `leave_out`
    and secrets are no part of the name.

    >>> run_name(["scheduler=cosine", "seed=1", "data.root=/somewhere"])
    'scheduler=cosine,seed=1'
    >>> run_name([])
    'default'
    >>> run_name(["scheduler.milestones=[10,20]", "model.name=a/b"])
    'milestones=10,20,name=a-b-4248aba4'
    """
    skipped = {"resume", "extend", "sweep", *leave_out}
    pairs = [override.lstrip("+").partition("=") for override in overrides if not override.startswith("~")]
    kept = [
        (key, value)
        for key, _, value in pairs
        if key not in skipped and not key.startswith("hydra") and not holds_secret(key, value)
    ]
    kept = [(key.removesuffix("._target_"), value) for key, value in kept]
    leaves = [key.rpartition(".")[2] for key, _ in kept]
    raw = ",".join(
        f"{leaf if leaves.count(leaf) == 1 else key}={value}" for leaf, (key, value) in zip(leaves, kept, strict=True)
    )
    readable = _SYNTAX.sub("", raw).replace("%", "pct")
    name = _UNSAFE.sub("-", readable)
    if name != readable or len(name) > LONGEST_NAME:
        digest = hashlib.sha256(raw.encode()).hexdigest()[:8]
        name = f"{name[: LONGEST_NAME - len(digest) - 1]}-{digest}"
    return name or "default"


def sweep_name(name: object, otherwise: str) -> str:
    """The name of a sweep's folder: `name` where the user gave one."""
    return otherwise if name is None else str(name)


def require_sweep_name(name: str) -> None:
    """Raise UserError where `name` is no name of a folder, in every file system and without a path."""
    if not re.fullmatch(r"\w[\w=,.+-]{0,119}", str(name), re.ASCII):
        raise wrong(
            "sweep", got=f"'{name}'", allowed="up to 120 letters, digits and any of _ - = , . +", do="sweep=lr_study"
        )


def reserve(folder: Path) -> Path:
    """Make `folder`, or where it exists `folder-2`, `folder-3`, ..., and return the one that this call made.

    Making a folder is atomic, so two processes that start in the same second get two folders.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    candidate, number = folder, 1
    while True:
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            number += 1
            candidate = folder.with_name(f"{folder.name}-{number}")


@contextmanager
def held(folder: Path, *, what: str = "training", patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold `folder` against other processes, until the end of the block or of this process, however it ends.

    Raises UserError where another one still holds it after `patience_seconds`. Does nothing where the
    system or its file system has no flock.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle, deadline = os.open(folder, os.O_RDONLY), time.monotonic() + patience_seconds
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                raise wrong(
                    "folder",
                    got=f"{folder}, in which another process is {what}",
                    allowed="one process at a time",
                    do="wait for it, or stop it",
                ) from error
            except OSError:  # some network file systems lock no folders
                break
        yield
    finally:
        os.close(handle)


def require_plain(folder: Path) -> None:
    """Raise UserError where a part of the run in `folder` is a link: what is cut and written would lie elsewhere."""
    inside = [*folder.iterdir(), *(folder / "checkpoints").glob("*")] if folder.is_dir() else []
    for path in [folder, *inside]:
        if path.is_symlink():
            raise wrong(
                "folder",
                got=f"{path}, a link to {path.resolve()}",
                allowed="a run's own files and folders",
                do="copy what it means into its place",
            )


def discard_unused(folder: Path) -> None:
    """Remove `folder` if a run made it but ended before it wrote anything except its log."""
    if [path.name for path in folder.iterdir()] == ["train.log"]:
        (folder / "train.log").unlink()
        folder.rmdir()


def fixed_keys(runs: Sequence[Sequence[str]]) -> list[str]:
    """The keys that have the same value in all runs; where nothing varies, those that say where, not what."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for override in run:
            values.setdefault(override.lstrip("+~").partition("=")[0], set()).add(override)
    fixed = [key for key, several in values.items() if len(several) == 1]
    return fixed if len(fixed) < len(values) else list(MACHINE)


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
