"""What the launcher gives each run: its share of the threads, and a GPU of its own."""

import pytest

from lrlab.sweeps import launch
from lrlab.sweeps.settings import LauncherSettings
from lrlab.system import process


def test_runs_take_turns_on_the_gpus_that_this_process_may_see(monkeypatch):
    monkeypatch.setattr(launch.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert launch._gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-abc")
    assert launch._gpus() == ["3", "GPU-abc"]
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 1)
    assert launch._gpus() == []


@pytest.mark.parametrize(("n_jobs", "threads", "each"), [(1, None, 8), (3, None, 2), (16, None, 1), (2, 5, 5)])
def test_each_run_has_its_share_of_the_threads(monkeypatch, n_jobs, threads, each):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(process, "cores", lambda: 8)
    assert LauncherSettings(n_jobs=n_jobs, threads=threads).threads_per_run == each


@pytest.mark.parametrize(
    ("exported", "threads", "each"), [("3", None, 3), ("3", 2, 2), ("2,4", None, 2), ("", None, 8), ("many", None, 8)]
)
def test_an_exported_number_of_threads_is_heeded_unless_the_sweep_has_its_own(monkeypatch, exported, threads, each):
    monkeypatch.setattr(process, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", exported)
    assert LauncherSettings(threads=threads).threads_per_run == each
