"""A page of every command: what its `--help` says."""

import io
import sys
from contextlib import redirect_stdout, suppress

from lrlab.commands import main

PLACE = "reference/commands.md"
_OF_HYDRA = ("train", "sweep")  # whose help lists all settings, which have a page of their own


def pages() -> dict[str, str]:
    """By place in the site."""
    parts = ["# Every command", "What each says with `--help`."]
    for name, about in main.COMMANDS.items():
        parts += [f"## lrlab {name}", f"{about[0].upper()}{about[1:]}."]
        if name in _OF_HYDRA:
            parts.append("It takes [every setting](settings.md), and `--help` lists them.")
        else:
            parts.append(f"```text\n{_help(name).strip()}\n```")
    return {PLACE: "\n\n".join(parts) + "\n"}


def _help(name: str) -> str:
    """What a command prints with --help."""
    typed, said = sys.argv, io.StringIO()
    sys.argv = ["lrlab", name, "--help"]
    with redirect_stdout(said), suppress(SystemExit):
        main.start(name, ["--help"])
    sys.argv = typed
    return said.getvalue()
