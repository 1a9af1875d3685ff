"""Image files that do not decode: found before training by all cores, and remembered for the next start."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

from torch.utils.data import Dataset

from lrlab.data import loader, pixels
from lrlab.data.decoding import nothing
from lrlab.data.image_files import ImageFiles
from lrlab.errors import UserError, wrong
from lrlab.system import disk, process

_CHUNK = 32  # files that a process tries at a time
_FILES_WORTH_A_PROCESS = 256
_NAMED = 20  # in a message


def without_bad(files: ImageFiles, share: float, memory: str) -> tuple[ImageFiles, list[str]]:
    """The `files` without those that do not decode, and what to say of these.

    What was found is kept in the folder `memory`, under a name that changes with any of the files. Raises UserError
    where more than the `share` of them is bad.
    """
    bad = _known(files, memory)
    if not bad:
        return files, []
    named = [f"{path} ({reason})" for path, reason in list(bad.items())[:_NAMED]]
    more = f" and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
    counted = f"{len(bad):,} of {len(files):,} images that do not decode: {', '.join(named)}{more}"
    if len(bad) > share * len(files):
        raise wrong(
            "data.skip_bad",
            got=counted,
            allowed=f"at most {100 * share:g}% of them",
            do="replace or remove these files",
        )
    good = [sample for sample in files.samples if sample[0] not in bad]
    return ImageFiles(good, files.homes, files.classes, files.image_size), [f"data.skip_bad: left out {counted}"]


def _known(files: ImageFiles, memory: str) -> Mapping[str, str]:
    """The bad files by path, each with the reason."""
    try:
        place = disk.expanded(memory, "data.cache_dir") / f"bad-{files.fingerprint()}.json"
    except UserError:  # there is no place to remember anything in
        return _tried(files)
    with suppress(OSError, ValueError):
        said = json.loads(place.read_text())
        if isinstance(said, dict) and {path for path, _ in files.samples} >= said.keys():
            return {str(path): str(reason) for path, reason in said.items()}
    found = _tried(files)
    with suppress(OSError, disk.Refused):
        place.parent.mkdir(parents=True, exist_ok=True)
        disk.write_whole(place, json.dumps(found))
    return found


def _tried(files: ImageFiles) -> dict[str, str]:
    """Decode all of them once."""
    paths = [path for path, _ in files.samples]
    workers = min(process.cores(), len(paths) // _FILES_WORTH_A_PROCESS)
    trials = iter(loader.start(_Trials(paths), workers=workers, ahead=2, batch_size=None))
    found: dict[str, str] = {}
    try:
        for bad in loader.each(trials, waiting=nothing):
            found |= bad
    finally:
        loader.end(trials)
    return found


class _Trials(Dataset):
    """The work in pieces: an item is what is bad among some files."""

    def __init__(self, paths: Sequence[str]):
        self.paths = paths

    def __len__(self) -> int:
        return (len(self.paths) + _CHUNK - 1) // _CHUNK

    def __getitem__(self, piece: int) -> dict[str, str]:
        bad = {}
        for path in self.paths[piece * _CHUNK : (piece + 1) * _CHUNK]:
            try:
                pixels.decode(path)
            except pixels.NotAnImage as error:
                bad[path] = str(error)
        return bad
