"""`python train.py` and `lrlab train`: one run, the rest of one, or a sweep; a mistake is one line and exit code 1."""

import os
import sys
from pathlib import Path

from lrlab.commands import sweep, with_hydra
from lrlab.commands.entry import enter, report
from lrlab.config.arguments import read, value_of
from lrlab.errors import UserError, wrong
from lrlab.system import process, spelling, streams
from lrlab.words import printable


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
        with distributed.process_group(report):
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
    repeated = value_of(arguments.overrides, "replay")
    if repeated and arguments.multirun:
        do = f"{spelling.command('train')} replay=PATH"
        raise wrong("replay", got="a sweep (-m)", allowed="one new run", do=do)
    with streams.forgiving():  # whoever looks on may leave
        if arguments.resume:
            _resume(arguments.overrides, arguments.resume)
        elif repeated:
            _replay(arguments.overrides, repeated)
        elif arguments.multirun:
            sweep.carry_out(arguments.overrides)
        else:
            _run(arguments.overrides)


def _run(overrides: list[str]) -> None:
    """Check one run, carry it out, and say where to look."""
    from lrlab.api.one_run import Attempt

    _warn_of_a_recipe(overrides)
    _print_hint(Attempt().begin(overrides))


def _warn_of_a_recipe(overrides: list[str]) -> None:
    """Say so where a recipe is a sweep, of which this trains one run with the defaults."""
    from lrlab.config import compose
    from lrlab.config.arguments import key_of, value_of

    listed = [key_of(one) for one in compose.with_recipe(overrides) if one not in overrides]
    if listed:
        recipe, over = value_of(overrides, "experiment"), ", ".join(listed)
        _warn(f"experiment={recipe} is a sweep over {over}, and this is one run; for all, {spelling.as_a_sweep()}")


def _resume(overrides: list[str], target: str) -> None:
    """Continue a run in its own folder, and say where to look."""
    from lrlab.api.one_run import Attempt

    _print_hint(Attempt().resume(overrides, target, _warn))


def _replay(overrides: list[str], target: str) -> None:
    """Train a run with a time budget again, at the LRs that it recorded, and say where to look."""
    from lrlab.api.one_run import Attempt

    _print_hint(Attempt().replay(overrides, target, _warn))


def _warn(reason: str) -> None:
    print(printable(f"warning: {reason}"), file=sys.stderr)


def _print_hint(folder: Path) -> None:
    from lrlab.runs.display import tensorboard_hint

    print("LR and loss side by side:")
    for line in tensorboard_hint(spelling.shortest(folder)):
        print(f"  {line}")
