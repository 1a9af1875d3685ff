"""`hydra/launcher=lrlab`, for sweepers other than Hydra's own. Hydra finds plugins only under this package's name."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class LrlabLauncher(Launcher):
    """Hands every batch of runs that a sweeper asks for to lrlab; a plain sweep goes there directly."""

    def __init__(self, **settings: Any):
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        del task_function  # a run of lrlab is the only task there is
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Carry out one batch."""
        from lrlab.sweeps.hydra_launcher import launch

        loader = self.hydra_context.config_loader
        configs = [loader.load_sweep_config(self.config, list(overrides)) for overrides in job_overrides]
        settings = {
            name: OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
            for name, value in self.settings.items()
        }
        return launch(job_overrides, configs, first=initial_job_idx, settings=settings)
