"""MLflow beside TensorBoard: `tracking=mlflow`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

_LONGEST = 500  # characters of a parameter's value that every store takes
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


class MlflowLogger:
    """Hands what a run records to MLflow. A resumed run goes on as the same run there."""

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        name: str,
        settings: Mapping[str, Any],
        *,
        experiment: str = "lrlab",
        uri: str | None = None,
        resumed: str | None = None,
    ):
        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found is not None else self._client.create_experiment(experiment)
        if resumed is not None:
            self.id = resumed
            self._client.set_terminated(self.id, "RUNNING")
            return
        self.id = self._client.create_run(experiment_id, run_name=name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self.id, key, str(value)[:_LONGEST])

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self.id, name, value, step=step)

    def close(self, status: str) -> None:
        self._client.set_terminated(self.id, _STATUS.get(status, "FAILED"))
