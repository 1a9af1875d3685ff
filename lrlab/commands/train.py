"""`python train.py` and `lrlab train`: checks the run that was asked for, reserves its folder, carries it out.

Nothing is written before the run is known to be sound, and every mistake is one line and exit code 1.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lrlab.commands import sweep, with_hydra
from lrlab.commands.entry import enter
from lrlab.config import compose
from lrlab.config.arguments import read, value_of
from lrlab.config.heeded import require_heeded
from lrlab.errors import UserError, wrong
from lrlab.runs import folders
from lrlab.system import process, spelling, streams
from lrlab.system.lock import held
from lrlab.words import printable

if TYPE_CHECKING:
    from lrlab.config.prepare import Prepared
    from lrlab.runs.run import Saved


def main() -> None:
    """`python train.py`; exits with 0, 1 for an error, 130 or 143 for a signal."""
    spelling.say(spelling.script(sys.argv[0]))
    start()


def start() -> None:
    """Run the command with what was typed."""
    if process.is_one_of_several():
        _as_one_of_several()
    else:
        enter(_main)


def _as_one_of_several() -> None:
    """Run it as one of torchrun's processes, and leave without Python's own end.

    There the threads of a process group are destroyed in an order that now and then aborts the process.
    """
    code = 0
    try:
        enter(_main_of_a_rank)
    except SystemExit as leaving:
        code = _exit_code(leaving)
    process.leave_after_printing(code)


def _exit_code(leaving: SystemExit) -> int:
    """The code that Python would exit with: a text or another object counts as a failure."""
    if leaving.code is None:
        return 0
    return leaving.code if isinstance(leaving.code, int) else 1


def _main_of_a_rank(typed: list[str]) -> None:
    """Rank 0 does what was typed; the others train along, and read nothing of it.

    The ranks are connected once, around all runs of a sweep.
    """
    from lrlab.runs.ranks import follow
    from lrlab.system import distributed

    own = int(os.environ["RANK"])
    try:
        with distributed.process_group():
            if own:
                return follow()
            try:
                _main(typed)
            finally:
                distributed.dismiss()
    except distributed.PeerFailed as lost:
        if own and lost.told:  # by the rank that failed, and by rank 0
            sys.exit(1)
        raise
    except UserError as error:
        if own:
            raise error.under(f"rank {own}") from error
        raise


def _main(typed: list[str]) -> None:
    arguments = read(typed)
    if arguments.flags:
        with_hydra.start(arguments.overrides, arguments.flags, arguments.overrides)
        return
    if arguments.resume and arguments.multirun:
        again = f"{spelling.command('train')} resume=PATH"
        do = again if spelling.names_commands() else "leave out -m and what is swept"
        raise wrong("resume", got="a sweep (-m)", allowed="one run at a time", do=do)
    with streams.forgiving():  # whoever looks on may leave
        if arguments.resume:
            _resume(arguments.overrides, arguments.resume)
        elif arguments.multirun:
            sweep.carry_out(arguments.overrides)
        else:
            _run(arguments.overrides)


def _run(overrides: list[str]) -> None:
    """Check one run, reserve its folder, carry it out."""
    from lrlab.config.prepare import prepare_typed

    # Everything is checked before anything is written.
    config = compose.compose(overrides)
    require_heeded(config, overrides)
    prepared = prepare_typed(config, overrides)
    if config.sweep is not None:
        raise wrong(
            "sweep",
            got=f"{config.sweep}, for a single run",
            allowed="no sweep, unless -m is given",
            do=spelling.as_a_sweep(),
        )

    # The folder is this run's from here on, and goes again if nothing was put into it.
    made = folders.missing(_folder_of(config))
    folder = _reserve(config, overrides)
    with held(folder):
        try:
            _carry_out(prepared, folder)
        except UserError:
            folders.discard_unused(folder, made)
            raise


def _carry_out(prepared: "Prepared", folder: Path, saved: "Saved | None" = None) -> None:
    """Train in `folder`, which this process holds, and say where to look. What ends the run early is in its log."""
    from lrlab.runs.display import log_to
    from lrlab.runs.run import carry_out

    log_to(folder)
    with_hydra.guarded(lambda: carry_out(prepared, folder, saved))
    _print_hint(folder)


def _resume(overrides: list[str], target: str) -> None:
    """Continue a run in its own folder, with the config that its checkpoint holds and what is typed now on top."""
    from lrlab.config.again import as_it_was
    from lrlab.config.prepare import prepare
    from lrlab.runs import checkpoint
    from lrlab.runs.run import Saved

    # Where the run lies.
    file = checkpoint.find(target).resolve()
    if file.parent.name != "checkpoints":
        raise wrong("resume", got=file, allowed="a file in a run's checkpoints/", do="resume=outputs/runs/NAME")
    folder = spelling.shortest(file.parent.parent)
    folders.require_plain(folder)

    # Nobody else may write there from here on; a checkpoint that is damaged gives way to the one before.
    with held(folder):
        path, contents = checkpoint.latest(target, _warn)
        checkpoint.require_form(path, contents)
        with checkpoint.restoring(path, "config"):
            config = as_it_was(contents["config"], path.resolve(), overrides)
        prepared = prepare(config, contents["choices"], contents["overrides"])
        _carry_out(prepared, folder, Saved(path, contents))


def _warn(reason: str) -> None:
    print(printable(f"warning: {reason}"), file=sys.stderr)


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


def _print_hint(folder: Path) -> None:
    from lrlab.runs.display import tensorboard_hint

    print("LR and loss side by side:")
    for line in tensorboard_hint(spelling.shortest(folder)):
        print(f"  {line}")
