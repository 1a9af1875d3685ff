"""Which of Hydra's settings a single run heeds: lrlab itself starts it, and most of them would change nothing."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from lrlab.config.arguments import key_of
from lrlab.errors import wrong
from lrlab.system import spelling

_HEEDED = (
    "hydra.run.dir",
    "hydra.searchpath",
    "hydra.job.name",
    "hydra.job.config",
    # These belong to sweeps, and a file may hold them.
    "hydra.sweep",
    "hydra.launcher",
    "hydra/launcher",
    "hydra/sweeper",
)
_OF_SWEEPS = ("hydra.sweep.", "hydra.launcher.", "hydra/launcher", "hydra/sweeper")  # of which one was typed for them

# What a file of the user's may say of Hydra's job, with the value that changes nothing.
_OF_THE_JOB = {"hydra.verbose": False, "hydra.job.chdir": False, "hydra.job.env_set": {}, "hydra.callbacks": {}}


def require_heeded(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise UserError for a setting of Hydra's, typed or in a file, that would change nothing."""
    of_sweeps = next((key for key in map(key_of, overrides) if key.startswith(_OF_SWEEPS)), None)
    if of_sweeps is not None:
        raise wrong(
            of_sweeps, got="a setting of sweeps, for a single run", allowed="it with -m", do=spelling.as_a_sweep()
        )
    typed = [key for key in map(key_of, overrides) if key.startswith("hydra") and not key.startswith(_HEEDED)]
    in_files = [key for key, without in _OF_THE_JOB.items() if OmegaConf.select(config, key) != without]
    for key in (*typed, *in_files):
        raise wrong(
            key,
            got="a setting of Hydra's that a single run does not heed",
            allowed="hydra.run.dir, hydra.searchpath, and with -m those of sweeps and launchers",
            do="leave it out",
        )
