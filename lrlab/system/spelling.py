"""How lrlab was started, so that every command that it prints can be typed as it stands.

The entry says it once. The environment hands it on to the processes of a sweep.
"""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from lrlab.system import process

INSTALLED = "lrlab"  # lrlab COMMAND
MODULE = "python -m lrlab"  # without a command, which trains, as a script does
NAMED = f"{MODULE} "  # python -m lrlab COMMAND
DOOR = f"{MODULE}."  # python -m lrlab.COMMAND
_VARIABLE = "LRLAB_STARTED_AS"


def say(how: str) -> None:
    """Note that lrlab was started by INSTALLED, MODULE, NAMED, DOOR or `script(...)`."""
    os.environ[_VARIABLE] = how


def said() -> str:
    """What the entry noted. In a notebook there was no entry, and the installed command is the shortest."""
    return os.environ.get(_VARIABLE, INSTALLED)


def script(path: str) -> str:
    """How the script at `path` is started: as it was typed, or shorter where it lies in the current folder.

    >>> script("train.py"), script("../my lrlab/train.py"), script("anything else")
    ('python train.py', "python '../my lrlab/train.py'", 'python train.py')
    """
    file = Path(path)
    if file.suffix != ".py":
        return "python train.py"
    return shlex.join(["python", str(shortest(file))])


def shortest(path: Path) -> Path:
    """`path` from the current folder where it lies in it, else as it is."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def command(name: str) -> str:
    """How to type a command, `train` or `find-lr` say, up to its arguments."""
    how = said()
    if name in ("train", "sweep"):
        return _on_ranks(_training(name, how))
    if name == "completion" and how != INSTALLED:
        return NAMED + name  # the one command that has no module of its own to start
    if how == INSTALLED:
        return f"{how} {name}"
    return NAMED + name if how in (NAMED, MODULE) else DOOR + name.replace("-", "_")


def _training(name: str, how: str) -> str:
    """How to type `train` or `sweep`: an own command, or what trains without one."""
    if names_commands(how):
        return f"{how.strip()} {name}"
    alone = MODULE if how == DOOR else how
    return f"{alone} -m" if name == "sweep" else alone


def names_commands(how: str | None = None) -> bool:
    """Whether what was typed begins with the name of a command."""
    return (how or said()) in (INSTALLED, NAMED)


def program() -> str:
    """What was typed before any command."""
    return MODULE if said() in (NAMED, DOOR) else said()


def typed(arguments: Iterable[str]) -> str:
    """Arguments as they are typed in a shell, each in the quotes that are easiest to read.

    >>> print(typed(["seed=1", "data.root=a b", "data.root='a=b'", "data.root='$x'"]))
    seed=1 'data.root=a b' "data.root='a=b'" 'data.root='"'"'$x'"'"''
    """
    return " ".join(map(_quoted, arguments))


def _quoted(argument: str) -> str:
    """`argument` for a shell. In double quotes it obeys some characters, and an interactive one `!` as well."""
    if "'" in argument and not set(argument) & set('"$`\\!'):
        return f'"{argument}"'
    return shlex.quote(argument)


def as_a_sweep() -> str:
    """What to change in a command that trains one run, so that it is a sweep."""
    return f"say {command('sweep')}" if names_commands() else "add -m"


def _on_ranks(started: str) -> str:
    """`started`, by torchrun where torchrun started this process."""
    if not process.is_one_of_several():
        return started
    alone = started.removeprefix("python ")
    program = alone if alone != started else f"--no-python {started}"
    return f"torchrun --nproc-per-node={os.environ.get('LOCAL_WORLD_SIZE', '1')} {program}"
