"""Names and folders of runs: readable, safe in every file system, and never shared by two runs."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

LONGEST_NAME = 120
_NOT_PART_OF_THE_NAME = {"resume", "extend", "data.root", "data.workers", "data.download", "trainer.device"}
_UNSAFE = re.compile(r"[^A-Za-z0-9=,._+-]")
_SYNTAX = re.compile(r"[\[\]'\"]")


def run_name(overrides: Iterable[str], leave_out: Iterable[str] = ()) -> str:
    """The name of a run, built from what the user overrode.

    Dotted keys are named by their last part (`optimizer.lr=0.1` is `lr=0.1`) unless two overrides share it. Where
    characters had to be replaced or cut, a hash of the whole keeps different overrides apart. Keys that say where
    the run computes or reads, not what, are left out, as are those in `leave_out`.

    >>> run_name(["scheduler=cosine", "seed=1", "data.root=/somewhere"])
    'scheduler=cosine,seed=1'
    >>> run_name([])
    'default'
    >>> run_name(["scheduler.milestones=[10,20]", "model.name=a/b"])
    'milestones=10,20,name=a-b-4248aba4'
    """
    skipped = _NOT_PART_OF_THE_NAME | set(leave_out)
    pairs = [override.lstrip("+").partition("=") for override in overrides if not override.startswith("~")]
    kept = [(key, value) for key, _, value in pairs if key not in skipped and not key.startswith("hydra")]
    leaves = [key.rpartition(".")[2] for key, _ in kept]
    raw = ",".join(
        f"{leaf if leaves.count(leaf) == 1 else key}={value}" for leaf, (key, value) in zip(leaves, kept, strict=True)
    )
    readable = _SYNTAX.sub("", raw)
    name = _UNSAFE.sub("-", readable)
    if name != readable or len(name) > LONGEST_NAME:
        digest = hashlib.sha256(raw.encode()).hexdigest()[:8]
        name = f"{name[: LONGEST_NAME - len(digest) - 1]}-{digest}"
    return name or "default"


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


def discard_unused(folder: Path) -> None:
    """Remove `folder` if a run made it but ended before it wrote anything except its log."""
    if [path.name for path in folder.iterdir()] == ["train.log"]:
        (folder / "train.log").unlink()
        folder.rmdir()
