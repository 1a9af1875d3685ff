"""A logger of somebody else's beside TensorBoard (`tracking=wandb` and its like), whose failures cost a run nothing."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from lrlab.config.build import make
from lrlab.config.names import run_name
from lrlab.config.prepare import Prepared
from lrlab.config.secrets import mask
from lrlab.errors import first_line
from lrlab.runs import summary
from lrlab.runs.describe import hyperparameters
from lrlab.system import disk

FILE = "tracking.json"  # which run of the other program this run is
_MOST_POINTS = 1000  # of the LR, in a run


class Logger(Protocol):
    """What a class for `tracking._target_` makes, which is called with folder, name, settings and `resumed`."""

    id: str  # by which a resumed run finds it again

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def close(self, status: str) -> None: ...


class Beside:
    """Hands the LR of some updates and the means of every epoch to a logger, until it fails."""

    def __init__(self, prepared: Prepared, folder: Path, say: Callable[[str], None], *, resumes: bool):
        self._say = say
        self._logger: Logger | None = None
        self._has_failed = False  # so that it is told nothing more, but how the run ended
        self._stride = max(1, math.ceil(prepared.plan.horizon.steps / _MOST_POINTS))
        node = prepared.config.get("tracking")
        if node is not None:
            self._try("started", lambda: self._open(node, prepared, folder, resumes=resumes))

    def _open(self, node: dict[str, Any], prepared: Prepared, folder: Path, *, resumes: bool) -> None:
        checked = prepared.checked
        before = summary.read(folder, FILE) if resumes else {}
        compared = hyperparameters(prepared.config, checked.choices, checked.overrides)
        known = before.get("id") if before.get("target") == node["_target_"] else None
        self._logger = make(
            node,
            "tracking",
            folder=folder,
            name=run_name(checked.overrides),
            settings=mask(compared | {"seed": prepared.seed}),
            resumed=known if isinstance(known, str) else None,
        )
        said = {"target": node["_target_"], "id": self._logger.id}
        disk.write_whole(folder / FILE, json.dumps(said, indent=2) + "\n")

    def update(self, step: int, applied: Mapping[str, float]) -> None:
        """Hand on the LR of update `step`, of some updates."""
        logger = self._logger
        if logger is not None and not self._has_failed and step % self._stride == 0:
            lrs = {name: value for name, value in applied.items() if name.startswith("lr")}
            self._try("told", lambda: logger.log(step, lrs))

    def epoch(self, step: int, measured: Mapping[str, float]) -> None:
        """Hand on the means of an epoch, after so many updates."""
        logger = self._logger
        if logger is not None and not self._has_failed:
            means = {name.replace("_", "/", 1): value for name, value in measured.items()}
            self._try("told", lambda: logger.log(step, means))

    def close(self, status: str) -> None:
        """Say how the run ended."""
        logger = self._logger
        if logger is not None:
            self._try("closed", lambda: logger.close(status))
            self._logger = None

    def _try(self, what: str, act: Callable[[], None]) -> None:
        """Do it, or say once that it cannot be done: whatever another program does ends no run."""
        try:
            act()
        except Exception as error:
            if self._has_failed:
                return
            self._has_failed = True
            self._say(
                f"warning: tracking could not be {what} ({type(error).__name__}: {first_line(error)}); training goes "
                "on without it, and TensorBoard's files have everything"
            )
