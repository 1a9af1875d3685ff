"""Checkpoints: written whole or not at all, loaded without running code, refused where they do not fit."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from lrlab.errors import UserError, wrong

FORMAT = 2
LAST, BEST = Path("checkpoints/last.pt"), Path("checkpoints/best.pt")


class Damaged(UserError):
    """A file that is no whole checkpoint."""


def save(path: Path, contents: dict[str, Any]) -> None:
    """Write `contents` (tensors, numbers, strings and containers of them) to `path`, atomically.

    A temporary file in the same folder is written and synced, then renamed over `path`, then the folder is synced:
    whenever the process or the machine stops, `path` holds the old checkpoint or the new one, whole.
    """
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save({"lrlab": FORMAT, **contents}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def find(target: str) -> Path:
    """The checkpoint that `target`, a run's folder or a `.pt` file, means."""
    path = Path(target).expanduser()
    file = path / LAST if path.is_dir() else path
    if file.is_file():
        return file
    got = f"{target}, a folder without {LAST}" if path.is_dir() else f"{target}, which does not exist"
    raise wrong(
        "resume",
        got=got,
        allowed="a run's folder, or one of its checkpoints/*.pt",
        do="resume=outputs/runs/NAME, or start the run again without resume",
    )


def load(path: Path) -> dict[str, Any]:
    """The contents of the checkpoint `path`, on the CPU. Never runs code that the file may hold.

    Raises UserError where it is damaged, is not lrlab's, or is of a newer format.
    """
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        message = wrong(
            "resume",
            got=f"{path}, which cannot be read ({type(error).__name__}: damaged, cut short, or not a checkpoint)",
            allowed="a whole checkpoint that lrlab wrote",
            do=f"try another one, such as {path.with_name('best.pt' if path.name == 'last.pt' else 'last.pt')}",
        )
        raise Damaged(str(message)) from error
    written = contents.get("lrlab") if isinstance(contents, dict) else None
    if written != FORMAT:
        raise wrong(
            "resume",
            got=f"{path}, " + ("which lrlab did not write" if written is None else f"of format {written}"),
            allowed=f"a checkpoint that lrlab wrote, of format {FORMAT}",
            do="resume=outputs/runs/NAME" if written is None else "use the version of lrlab that wrote it",
        )
    return contents


def require_readable(path: Path) -> None:
    """Raise UserError unless `path`, just written, can be read: `load` takes plain contents only, `save` anything."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        unsafe = re.search(r"(?:GLOBAL|global) (\S+)", str(error))
        raise wrong(
            "checkpoint",
            got=f"state that cannot be read back ({unsafe[1] if unsafe else type(error).__name__})",
            allowed="tensors, numbers, strings, and lists, tuples and dicts of them",
            do="convert it in the state_dict() of your scheduler, optimizer or model",
        ) from error


def refuse_changes(saved: Mapping[str, Any], got: Mapping[str, Any], may_change: Iterable[str]) -> None:
    """Raise UserError that names the first setting, outside `may_change`, in which two resolved configs differ."""
    before, now = flatten(saved), flatten(got)
    free = set(may_change)
    for key in sorted(before.keys() | now.keys(), key=lambda key: (not key.endswith("_target_"), key)):
        if key in free or before.get(key) == now.get(key):
            continue
        do = "extend=EPOCHS to train longer" if key == "trainer.epochs" else "leave it out, or start a new run"
        raise wrong(
            key,
            got=f"{now.get(key, 'nothing')}, but the checkpoint was saved with {before.get(key, 'nothing')}",
            allowed="the saved value, when a run is resumed",
            do=do,
        )


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
