"""One run from what was asked for to its end: checked, its folder reserved, carried out.

Nothing is written before the run is known to be sound.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lrlab.config import compose, identity, names
from lrlab.config.again import as_it_was
from lrlab.config.arguments import key_of, value_of
from lrlab.config.heeded import require_heeded
from lrlab.config.prepare import Prepared, prepare, prepare_typed
from lrlab.errors import UserError, wrong
from lrlab.lr.horizon import Horizon
from lrlab.runs import checkpoint, folders, replay
from lrlab.runs.describe import changed, computed_by
from lrlab.runs.display import Display, View, log_to
from lrlab.runs.run import Saved, carry_out
from lrlab.system import disk, spelling
from lrlab.system.lock import held

log = logging.getLogger(__name__)
MakeDisplay = Callable[[Horizon], View]
LoggingTo = Callable[[Path], AbstractContextManager[None]]


@contextmanager
def only_to(folder: Path) -> Iterator[None]:
    """Send all logs to the `train.log` of the run in `folder`, from here on: the process is the run's."""
    log_to(folder)
    yield


def guarded(run: Callable[[], float | None]) -> float | None:
    """What `run()` returns. An error that ends it is written to the run's log."""
    try:
        return run()
    except UserError as error:
        log.error("error: %s", error)
        raise
    except Exception:
        log.exception("this is a bug in lrlab or in code that it was given")
        raise


class Attempt:
    """How a run is shown and logged, and where it went: `folder` is None until there is one."""

    def __init__(self, make_display: MakeDisplay = Display, logging_to: LoggingTo = only_to):
        self.folder: Path | None = None
        self._make_display, self._logging_to = make_display, logging_to

    def begin(self, overrides: list[str]) -> Path:
        """Check one run, reserve its folder, carry it out; returns the folder."""
        # Everything is checked before anything is written.
        config = compose.compose(overrides)
        require_heeded(config, overrides)
        prepared = prepare_typed(config, overrides)
        if config.sweep is not None:
            raise wrong(
                "sweep",
                got=f"{config.sweep or repr(config.sweep)}, for a single run",
                allowed="no sweep, unless -m is given",
                do=spelling.as_a_sweep(),
            )

        return self._begin_in_its_folder(prepared, config, overrides)

    def resume(self, overrides: list[str], target: str, warn: Callable[[str], None]) -> Path:
        """Continue a run in its own folder, with the config that its checkpoint holds and `overrides` on top."""
        # Where the run lies.
        file = checkpoint.find(target).resolve()
        if file.parent.name != "checkpoints":
            raise wrong("resume", got=file, allowed="a file in a run's checkpoints/", do="resume=outputs/runs/NAME")
        folder = spelling.shortest(file.parent.parent)
        folders.require_plain(folder)

        # Nobody else may write there from here on; a checkpoint that is damaged gives way to the one before.
        with held(folder):
            path, contents = checkpoint.latest(target, warn)
            checkpoint.require_form(path, contents)
            with checkpoint.restoring(path, "config"):
                config = as_it_was(contents["config"], path.resolve(), overrides)
            prepared = prepare(config, contents["choices"], contents["overrides"])
            return self._carry_out(prepared, folder, Saved(path, contents))

    def replay(self, overrides: list[str], target: str, warn: Callable[[str], None]) -> Path:
        """Train the run in the folder `target` again, in a folder of its own, at the LRs that it recorded."""
        # What it was, and what is typed on top, which may say where it is computed.
        before = spelling.shortest(disk.expanded(target, "replay").resolve())
        replay.read(before)
        path, contents = checkpoint.latest(str(before), warn)
        checkpoint.require_form(path, contents)
        own = [one for one in overrides if key_of(one) != "replay"]
        with checkpoint.restoring(path, "config"):
            was = {**contents["config"], "replay": None}  # it may be a repetition itself
            config = as_it_was(was, path.resolve(), own)
        config.resume, config.replay = None, str(before.resolve())
        prepared = prepare(config, contents["choices"], contents["overrides"])
        _require_same_settings(contents, prepared)
        if warning := changed(contents["computed_by"], computed_by(prepared.device, prepared.trainer.form)):
            warn(warning.removeprefix("warning: "))

        # Where it goes.
        of_hydra = [one for one in own if key_of(one).startswith("hydra")]
        hydra = compose.compose([names.of_a_repetition(before.name), *of_hydra])
        return self._begin_in_its_folder(prepared, hydra, own)

    def _begin_in_its_folder(self, prepared: Prepared, config: DictConfig, overrides: Sequence[str]) -> Path:
        """Carry out a new run where `config` says; returns the folder, which goes again if nothing was put into it."""
        made = folders.missing(_folder_of(config))
        folder = _reserve(config, overrides)
        with held(folder):
            try:
                return self._carry_out(prepared, folder)
            except UserError:
                folders.discard_unused(folder, made)
                raise

    def _carry_out(self, prepared: Prepared, folder: Path, saved: Saved | None = None) -> Path:
        """Train in `folder`, which this process holds. What ends the run early is in its log."""
        self.folder = folder
        with self._logging_to(folder):
            guarded(lambda: carry_out(prepared, folder, saved, make_display=self._make_display))
        return folder


def _require_same_settings(saved: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise UserError where a run would be no repetition of the one that was saved."""
    before = identity.of(saved["config"], saved["facts"].get("contents"))
    if found := identity.difference(before, identity.of(prepared.config, prepared.checked.contents)):
        allowed = "the same value, when a run is repeated"
        raise found.refusal("the run to repeat has", allowed=allowed, do="leave it out, or start a new run")


def _folder_of(config: DictConfig) -> Path:
    """Where a run goes by its config, under a name that may be taken."""
    HydraConfig.instance().set_config(config)
    return Path(config.hydra.run.dir)


def _reserve(config: DictConfig, overrides: Sequence[str]) -> Path:
    """The folder of a run: made now and ours alone, unless the user named it."""
    folder = _folder_of(config)
    if not folder.name:
        raise wrong("hydra.run.dir", got=f"'{config.hydra.run.dir}'", allowed="a folder", do="hydra.run.dir=FOLDER")
    if value_of(overrides, "hydra.run.dir") is None:
        return folders.reserve(folder)
    if (folder / "config.yaml").exists():
        raise wrong("folder", got=f"{folder}, which holds a run", allowed="a folder without one", do=f"resume={folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
