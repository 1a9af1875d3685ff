"""Weights & Biases beside TensorBoard: `tracking=wandb`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb


class WandbLogger:
    """Hands what a run records to W&B. A resumed run goes on as the same run there."""

    def __init__(
        self,
        folder: Path,
        name: str,
        settings: Mapping[str, Any],
        *,
        project: str = "lrlab",
        entity: str | None = None,
        mode: str | None = None,
        resumed: str | None = None,
    ):
        self._run = wandb.init(
            project=project,
            entity=entity,
            mode=mode,
            name=name,
            config=dict(settings),
            dir=str(folder),
            id=resumed,
            resume="allow" if resumed else None,
            reinit="create_new",
        )
        self.id = self._run.id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)
