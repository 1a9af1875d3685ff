"""Which commit of the user's code this is."""

import os
import subprocess
from functools import lru_cache

_SECONDS = 5.0  # that git may take, in a repository of any size


@lru_cache
def commit() -> str | None:
    """The commit that is checked out in the current folder, with `-dirty` where a file differs from it.

    None outside of a repository, and where there is no git.
    """
    command = ("git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    try:
        said = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # it only looks
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return said.stdout.strip() or None
