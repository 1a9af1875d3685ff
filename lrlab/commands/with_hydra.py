"""What Hydra's own `main` is for: --help and --cfg, and sweeps with launchers and sweepers other than lrlab's."""

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lrlab.commands.entry import report
from lrlab.config import compose
from lrlab.config.arguments import without_deletions
from lrlab.config.hydra_inside import OF_MAIN
from lrlab.config.targets import chosen
from lrlab.errors import UserError
from lrlab.system import spelling


def start(overrides: Sequence[str], flags: Sequence[str], typed: Sequence[str]) -> None:
    """Hand over to Hydra, as if `overrides` and `flags` had been typed."""
    compose.let_hydra_find_plugins()
    sys.argv = [sys.argv[0], *overrides, *flags]
    as_main = hydra.main(config_path=str(compose.CONF), config_name=compose.NAME, **OF_MAIN)
    try:
        as_main(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise compose.in_one_line(error, typed) from error


def job(config: DictConfig) -> float | None:
    """One run of a sweep, which Hydra's launchers and other people's start in the folder that they made for it."""
    from lrlab.api.one_run import guarded
    from lrlab.config.prepare import prepare
    from lrlab.sweeps.job import run_in_sweep

    settings = HydraConfig.get()
    folder = spelling.shortest(Path(settings.runtime.output_dir))
    task = list(settings.overrides.task)
    choices = chosen(HydraConfig.instance().cfg, task)  # type: ignore[arg-type]
    compose.settle(config, task)
    try:
        return guarded(lambda: run_in_sweep(prepare(config, choices, without_deletions(task)), folder))
    except UserError as error:
        report(error)
        raise  # Hydra goes on with the sweep's other runs
