"""How every command starts and ends: whatever the user did wrong is one line and exit code 1."""

import errno
import io
import logging
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

from lrlab import __version__
from lrlab.errors import Interrupted, UserError, wrong
from lrlab.system import disk, process
from lrlab.words import printable

log = logging.getLogger(__name__)
_LRLAB = Path(__file__).parents[1]
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def enter(command: Callable[[list[str]], None]) -> None:
    """Run `command` with what was typed. Whatever the user did wrong becomes one line and exit code 1."""
    # How it starts.
    process.let_waiting_threads_sleep()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them and leaving
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character still shows the rest

    # How it ends.
    try:
        if _asks_for_version(sys.argv[1:]):
            print(f"lrlab {__version__}")
        else:
            sys.path.append(_current_folder())  # a user's own classes may lie there
            _require_text(sys.argv[1:])
            command(sys.argv[1:])
    except UserError as error:
        report(error)
        sys.exit(1)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        report(of_the_system(error))
        sys.exit(1)
    except Interrupted as stop:
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
        sys.exit(130)


def _open_what_is_closed() -> None:
    """Let what is printed go nowhere where a stream was closed before the start (`>&-`).

    Otherwise the first file that is opened would get its number, and what others print.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, disk.nowhere())


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        do = "cd to a folder that exists"
        raise wrong("folder", got="a current folder that was deleted", allowed="one that exists", do=do) from error


def _require_text(typed: list[str]) -> None:
    """Raise UserError where something that was typed, a path say, has bytes that are no UTF-8.

    It could be written into no config, and no log.
    """
    for one in typed:
        try:
            one.encode()
        except UnicodeEncodeError as error:
            shown = os.fsencode(one).decode(errors="backslashreplace")
            do = "rename the file, or make a link to it"
            raise wrong("command line", got=f"'{shown}'", allowed="text in UTF-8", do=do) from error


def _asks_for_version(typed: list[str]) -> bool:
    """Whether --version is among the options. What follows `--` is no option."""
    options = typed[: typed.index("--")] if "--" in typed else typed
    return "--version" in options


def report(error: UserError) -> int:
    """Print the one line of a mistake; the exit code."""
    if os.environ.get("LRLAB_DEBUG"):
        logging.getLogger().handlers = [logging.StreamHandler()]
        log.error("", exc_info=error)
    print(printable(f"lrlab: error: {error}"), file=sys.stderr, flush=True)  # what follows may be no orderly end
    return 1


def of_the_system(error: OSError) -> UserError:
    """The one line for an error of the system, in its own words, with the file that it is about or the code it is from.

    A data set of the user's may read from anywhere, so the line says nothing of disks unless the error does.
    """
    if error.filename is not None:
        do = "make room, or choose another folder" if error.errno in _NO_ROOM else "correct its path or permissions"
        told = wrong("file", got=f"{error.filename} ({_words(error)})", allowed="one that can be used", do=do)
    else:
        told = wrong(
            _place(error),
            got=f"{type(error).__name__}: {_words(error)}",
            allowed="files, devices and networks that answer",
            do="mend the cause and start again; LRLAB_DEBUG=1 shows where it came from",
        )
    told.__cause__ = error
    return told


def _words(error: OSError) -> str:
    """What the error says, in one line. A text from a loader's process ends with the error's name and its own words."""
    lines = [line.strip() for line in str(error.strerror or error).splitlines()]
    said = [line for line in lines if line]
    if not said:
        return "no message"
    return said[-1].removeprefix(f"{type(error).__name__}: ")


def _place(error: OSError) -> str:
    """The line of code that raised the error: the last of the user's own if some took part, or else the last one."""
    # A loader's process sends its traceback as a text.
    here = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    lines = here + re.findall(r'File "(.+)", line (\d+)', str(error))
    own = [line for line in lines if _is_users(Path(line[0]))]
    file, number = (own or lines)[-1]
    return f"{Path(file).name}, line {number}"


def _is_users(file: Path) -> bool:
    """Whether a file is neither part of Python, nor installed, nor lrlab's, nor the script that starts lrlab."""
    installed = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places = [*installed, _LRLAB, _LRLAB.parent / "train.py", Path(sys.argv[0]).absolute()]
    return file.is_file() and not any(file.is_relative_to(place) for place in places)
