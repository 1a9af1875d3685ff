"""How every command starts and ends: whatever the user did wrong is one line and exit code 1."""

import io
import logging
import os
import sys
from collections.abc import Callable

from lrlab.errors import Interrupted, UserError, wrong

log = logging.getLogger(__name__)


def enter(command: Callable[[list[str]], None]) -> None:
    """Run `command` with what was typed; whatever the user did wrong is one line and exit code 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them and leaving
    sys.path.append(os.getcwd())  # a user's own classes may lie in the current folder
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character still shows the rest
    try:
        command(sys.argv[1:])
    except UserError as error:
        report(error)
        sys.exit(1)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        got = f"{error.filename or 'a file'}, which cannot be used ({error.strerror})"
        report(wrong("file", got=got, allowed="a disk with room, and a place to write to", do="choose another folder"))
        sys.exit(1)
    except Interrupted as stop:
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
        sys.exit(130)


def report(error: UserError) -> int:
    """Print the one line of a mistake; the exit code."""
    if os.environ.get("LRLAB_DEBUG"):
        logging.getLogger().handlers = [logging.StreamHandler()]
        log.error("", exc_info=error)
    print(f"lrlab: error: {error}", file=sys.stderr)
    return 1
