"""A logger beside TensorBoard: what it is told, and that its failures cost a run nothing."""

import sys
import types
from typing import Any, ClassVar

import pytest
from support import same_weights, summary, weights

SHORT = ("trainer.epochs=2", "model=mlp")


class Recorder:
    """A logger of a user's own, which fails where it is told to."""

    calls: ClassVar[list[Any]] = []
    fails: ClassVar[str | None] = None

    def __init__(self, folder, name, settings, resumed=None, project="lrlab"):
        assert folder.is_dir()
        self.id = resumed or f"{project}-1"
        self._do("init", name, settings["scheduler"], settings["seed"], resumed)

    def log(self, step, values):
        self._do("log", step, values)

    def close(self, status):
        self._do("close", status)

    def _do(self, what, *said):
        Recorder.calls.append((what, *said))
        if Recorder.fails == what:
            raise ConnectionError("no network")


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    (tmp_path / "recording.py").write_text("from test_tracking_recorder import Recorder\n")
    module = types.ModuleType("test_tracking_recorder")
    module.Recorder = Recorder
    monkeypatch.setitem(sys.modules, "test_tracking_recorder", module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(Recorder, "calls", [])
    monkeypatch.setattr(Recorder, "fails", None)
    return Recorder


OWN = "+tracking={_target_: recording.Recorder, project: mine}"


def test_a_logger_is_told_lrs_and_means_and_changes_nothing(command, tmp_path, recorder):
    assert command("scheduler=step", *SHORT, "hydra.run.dir=plain").code == 0
    done = command("scheduler=step", *SHORT, "hydra.run.dir=told", OWN)
    assert done.code == 0, done.err
    assert same_weights(weights(tmp_path / "plain"), weights(tmp_path / "told"))
    assert recorder.calls[0] == ("init", "scheduler=step,epochs=2,model=mlp", "step", 0, None)
    assert recorder.calls[-1] == ("close", "finished")
    steps = [call[1] for call in recorder.calls if call[0] == "log"]
    assert steps == sorted(steps)
    means = [call[2] for call in recorder.calls if call[0] == "log" and "val/loss" in call[2]]
    assert means[-1]["val/loss"] == summary(tmp_path / "told")["val_loss"]
    assert "tracking" not in (tmp_path / "told" / "config.yaml").read_text()


@pytest.mark.parametrize("fails", ["init", "log", "close"])
def test_nothing_is_lost_where_a_logger_fails(command, tmp_path, recorder, fails):
    assert command("scheduler=step", *SHORT, "hydra.run.dir=plain").code == 0
    recorder.fails = fails
    done = command("scheduler=step", *SHORT, "hydra.run.dir=told", OWN)
    assert done.code == 0
    assert done.out.count("warning: tracking could not be") == 1
    assert "ConnectionError: no network" in done.out
    assert recorder.calls[-1][0] == ("init" if fails == "init" else "close")  # it hears how the run ended
    assert same_weights(weights(tmp_path / "plain"), weights(tmp_path / "told"))


def test_a_resumed_run_goes_on_as_the_same_one(command, recorder):
    assert command(*SHORT, "hydra.run.dir=run", OWN).code == 0
    assert command("resume=run", "extend=3", OWN).code == 0
    assert recorder.calls[0][-1] is None
    assert [call[-1] for call in recorder.calls if call[0] == "init"][1] == "mine-1"
    assert command("resume=run", "extend=4").code == 0  # nobody is told unless it is typed again


@pytest.mark.parametrize("typed", ["tracking=foo", "tracking.project=x", "+tracking={_target_: nowhere.Foo}"])
def test_a_mistake_is_one_line(command, typed):
    done = command(typed, *SHORT)
    assert (done.code, done.err.count("\n")) == (1, 1)
