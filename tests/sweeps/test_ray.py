"""Runs on a Ray cluster, started here: the same results in the same folders, whether or not it sees them."""

import importlib.util
import os
from pathlib import Path

import pytest
from support import points, same_weights, summary, weights

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
TYPED = ("-m", "seed=0,1,2", "trainer.epochs=3", "model=linear", "hydra.launcher.threads=1")


@pytest.fixture(scope="module", autouse=True)
def two_workers():
    """A cluster with room for two runs at a time."""
    import ray

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize("shared", [True, False], ids=["shared folder", "folder of its own"])
def test_two_workers_give_the_same_results_in_the_same_folders(command, tmp_path, monkeypatch, shared):
    if not shared:
        monkeypatch.setattr(Path, "touch", lambda _: None)  # the mark by which workers see that the folder is shared
    assert command(*TYPED, "sweep=here").code == 0
    outcome = command(*TYPED, "sweep=ray", "hydra.launcher.executor=ray")
    assert (outcome.code, outcome.err) == (0, "")
    here, ray = (tmp_path / "outputs" / "sweeps" / name for name in ("here", "ray"))
    assert (here / "results.csv").read_bytes() == (ray / "results.csv").read_bytes()
    for name in ("seed=0", "seed=1", "seed=2"):
        assert same_weights(weights(here / name), weights(ray / name))
        assert points(here / name) == points(ray / name)
    assert not list(ray.glob(".sweep-*"))


@pytest.mark.parametrize("shared", [True, False], ids=["shared folder", "folder of its own"])
def test_what_runs_have_in_common_is_trained_once_there_too(command, tmp_path, monkeypatch, shared):
    if not shared:
        monkeypatch.setattr(Path, "touch", lambda _: None)
    typed = (*TYPED, "scheduler=wsd", "scheduler.lr_lambda.decay=10%,20%,30%", "trainer.epochs=10")
    assert command(*typed, "sweep=alone", "hydra.launcher.share=false").code == 0
    outcome = command(*typed, "sweep=ray", "hydra.launcher.executor=ray")
    assert (outcome.code, outcome.err) == (0, "")
    assert "(the rest is shared)" in outcome.out
    alone, ray = (tmp_path / "outputs" / "sweeps" / name for name in ("alone", "ray"))
    begun = [summary(folder).get("begun_with", {}).get("updates", 0) for folder in sorted(ray.glob("*decay=*"))]
    assert sorted(begun) == [0, 0, 0, 148, 148, 148, 169, 169, 169]
    for folder in ray.glob("*decay=*"):
        assert same_weights(weights(folder), weights(alone / folder.name))
        assert points(folder) == points(alone / folder.name)


@pytest.mark.parametrize("shared", [True, False], ids=["shared folder", "folder of its own"])
def test_runs_of_one_step_are_what_they_are_alone_there_too(command, tmp_path, monkeypatch, shared):
    if not shared:
        monkeypatch.setattr(Path, "touch", lambda _: None)
    typed = (*TYPED, "optimizer.lr=0.1,1e20", "trainer.stacked=eager")
    assert command(*typed, "sweep=alone").code == 1
    outcome = command(*typed, "sweep=ray", "hydra.launcher.executor=ray", "hydra.launcher.stack=3")
    assert outcome.code == 1
    assert "stack      6 runs: 3 in a step, eager" in outcome.out
    alone, ray = (tmp_path / "outputs" / "sweeps" / name for name in ("alone", "ray"))
    assert len([*ray.glob("*seed=*")]) == 6
    for folder in ray.glob("*seed=*"):
        assert summary(folder)["status"] == summary(alone / folder.name)["status"]
        assert points(folder) == points(alone / folder.name)
        if "1e20" not in folder.name:
            assert same_weights(weights(folder), weights(alone / folder.name))


def test_runs_that_fail_there_leave_the_others_alone_and_go_on_later(command, tmp_path):
    from support import FAULTY

    (tmp_path / "faulty.py").write_text(FAULTY)
    typed = (
        *("-m", "model._target_=faulty.Net", "model.how=sound,raising,leaving,killed", "sweep=faults"),
        *("trainer.epochs=3", "data.batch_size=256", "hydra.launcher.executor=ray", "hydra.launcher.threads=1"),
        "hydra.launcher.retries=0",
    )
    folder = tmp_path / "outputs" / "sweeps" / "faults"
    assert command(*typed).code == 1
    statuses = {path.name: summary(path)["status"] for path in folder.glob("how=*")}
    assert statuses == {
        "how=sound": "finished",
        "how=raising": "failed",
        "how=leaving": "failed",
        "how=killed": "killed",
    }
    (tmp_path / "mended").touch()
    assert command(*typed).code == 0
    for name in statuses:
        assert same_weights(weights(folder / name), weights(folder / "how=sound"))
