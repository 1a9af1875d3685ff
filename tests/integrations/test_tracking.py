"""Loggers beside TensorBoard: real runs of W&B, Trackio and MLflow, without a network."""

import json
from pathlib import Path

import pytest
from support import summary

SHORT = ("trainer.epochs=2", "model=mlp")


def test_wandb_offline(command, tmp_path):
    pytest.importorskip("wandb")
    done = command("tracking=wandb", "tracking.mode=offline", *SHORT, "hydra.run.dir=run")
    assert done.code == 0, done.err
    assert "warning: tracking" not in done.out, done.out
    assert list((tmp_path / "run").rglob("*.wandb"))
    assert json.loads((tmp_path / "run" / "tracking.json").read_text())["id"]


def test_mlflow_in_a_file(command, tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    done = command("tracking=mlflow", f"tracking.uri={uri}", *SHORT, "hydra.run.dir=run")
    assert done.code == 0, done.err
    assert "warning: tracking" not in done.out, done.out
    client = MlflowClient(tracking_uri=uri)
    known = json.loads((tmp_path / "run" / "tracking.json").read_text())["id"]
    run = client.get_run(known)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["val/loss"] == pytest.approx(summary(tmp_path / "run")["val_loss"])
    assert len(client.get_metric_history(known, "lr")) == 42


def test_trackio(command, monkeypatch, tmp_path):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    done = command("tracking=trackio", *SHORT, "hydra.run.dir=run")
    assert done.code == 0, done.err
    assert "warning: tracking" not in done.out, done.out
    assert Path(tmp_path / "run" / "tracking.json").is_file()
