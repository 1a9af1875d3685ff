"""Which of Hydra's settings a single run heeds: lrlab itself starts it, and most of them would change nothing."""

from collections.abc import Sequence

from lrlab.config.arguments import key_of
from lrlab.errors import wrong

_HEEDED = (
    "hydra.run.dir",
    "hydra.searchpath",
    "hydra.job.name",
    "hydra.job.config",
    # These belong to sweeps and are harmless here.
    "hydra.sweep",
    "hydra.launcher",
    "hydra/launcher",
    "hydra/sweeper",
)


def require_heeded(overrides: Sequence[str]) -> None:
    """Raise UserError for a setting of Hydra's that would change nothing."""
    for key in map(key_of, overrides):
        if key.startswith("hydra") and not key.startswith(_HEEDED):
            raise wrong(
                key,
                got="a setting of Hydra's that a single run does not heed",
                allowed="hydra.run.dir, hydra.searchpath, and with -m those of sweeps and launchers",
                do="leave it out",
            )
