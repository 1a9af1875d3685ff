"""Names of runs and sweeps: readable, and safe in every file system."""

import hashlib
import re
from collections.abc import Iterable, Sequence

from lrlab.config.arguments import key_of, of_the_run, without_deletions
from lrlab.config.identity import MACHINE
from lrlab.config.secrets import holds_secret
from lrlab.errors import wrong

LONGEST_NAME = 95  # so that no folder's name is over 120, with the date before it and a number behind it
_UNSAFE = re.compile(r"[^A-Za-z0-9=,._+-]")
_DATE = re.compile(r"^\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_")
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
    # What the name tells, in short where that is clear.
    kept = _worth_naming(list(overrides), {"resume", "extend", "sweep", *leave_out})
    leaves = [key.rpartition(".")[2] for key, _ in kept]
    parts = []
    for leaf, (key, value) in zip(leaves, kept, strict=True):
        parts.append(f"{leaf if leaves.count(leaf) == 1 else key}={value}")
    raw = ",".join(parts)

    # In characters and a length that every file system takes.
    readable = _SYNTAX.sub("", raw).replace("%", "pct")
    name = _UNSAFE.sub("-", readable)
    if name != readable or len(name) > LONGEST_NAME:
        digest = hashlib.sha256(raw.encode()).hexdigest()[:8]
        name = f"{name[: LONGEST_NAME - len(digest) - 1]}-{digest}"
    return name or "default"


def of_a_repetition(name: str) -> str:
    """The override that names a run after the one that it repeats, whose folder has that `name`.

    >>> of_a_repetition("2026-11-22_16-17-59_budget=1h,seed=1"), of_a_repetition("2026-11-23_08-00-00_replay=mine")
    ("replay='budget=1h,seed=1'", "replay='mine'")
    """
    told = _DATE.sub("", name).removeprefix("replay=")
    return f"replay='{_UNSAFE.sub('-', told)}'"


def _worth_naming(overrides: Sequence[str], skipped: Iterable[str]) -> list[tuple[str, str]]:
    """The key and the value of each override that a run is named by."""
    kept = []
    for override in without_deletions(of_the_run(overrides)):
        key, _, value = override.lstrip("+").partition("=")
        is_told = key not in skipped and not key.startswith("tracking.")
        if is_told and not holds_secret(key, value):
            kept.append((key.removesuffix("._target_"), value))
    return kept


def sweep_name(name: object, otherwise: str) -> str:
    """The name of a sweep's folder: `name` where the user gave one."""
    return otherwise if name is None else str(name)


def require_sweep_name(name: str, key: str = "sweep") -> None:
    """Raise UserError where `name` is no name of a folder, in every file system and without a path."""
    if not re.fullmatch(r"\w[\w=,.+-]{0,119}", str(name), re.ASCII):
        do = "sweep=lr_study" if key == "sweep" else "a name such as lr_study"
        raise wrong(key, got=f"'{name}'", allowed="up to 120 letters, digits and any of _ - = , . +", do=do)


def fixed_keys(runs: Sequence[Sequence[str]]) -> list[str]:
    """The keys that have the same value in all runs; where nothing varies, those that say where, not what."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for override in run:
            values.setdefault(key_of(override), set()).add(override)
    fixed = [key for key, several in values.items() if len(several) == 1]
    return fixed if len(fixed) < len(values) else list(MACHINE)
