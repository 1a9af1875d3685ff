"""Trackio beside TensorBoard: `tracking=trackio`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trackio


class TrackioLogger:
    """Hands what a run records to Trackio. A resumed run goes on as the same run there."""

    def __init__(
        self,
        folder: Path,
        name: str,
        settings: Mapping[str, Any],
        *,
        project: str = "lrlab",
        resumed: str | None = None,
    ):
        self.id = resumed or f"{name}-{folder.name}"
        self._run = trackio.init(
            project=project, name=self.id, config=dict(settings), resume="allow" if resumed else "never"
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, status: str) -> None:  # noqa: ARG002
        self._run.finish()
