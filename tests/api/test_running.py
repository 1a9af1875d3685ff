"""`lrlab.train`, `sweep`, `Run`: the runs of the command line, and a host that stays as it was."""

import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import traceback
import warnings

import matplotlib as mpl
import numpy
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from support import same_weights, summary, weights
from torch.utils import deterministic

import lrlab

pytest.importorskip("scipy.stats")  # imported by comparisons; importing it adds filters of warnings, which stay
SHORT = ("trainer.epochs=2", "model=mlp")


def host() -> dict[str, object]:
    """What a host might notice."""
    return {
        "random": random.getstate(),
        "numpy": repr(numpy.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "fill": deterministic.fill_uninitialized_memory,
        "grad": torch.is_grad_enabled(),
        "environment": dict(os.environ),
        "argv": list(sys.argv),
        "path": list(sys.path),
        "streams": (sys.stdout, sys.stderr),
        "handlers": (list(logging.getLogger().handlers), logging.getLogger().level),
        "own log": (list(logging.getLogger("lrlab").handlers), logging.getLogger("lrlab").propagate),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "filters": list(warnings.filters),
        "hydra": (GlobalHydra.instance().hydra, HydraConfig.instance().cfg),
        "figures": {name: mpl.rcParams[name] for name in ("svg.fonttype", "svg.hashsalt", "text.color")},
        "folder": os.getcwd(),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "scaler": torch.amp.GradScaler.step,
    }


@pytest.fixture
def hydra_of_the_host():
    """A host that is itself an application of Hydra's, with flags and a log that lrlab would change."""
    own = object()
    torch.use_deterministic_algorithms(True)
    logging.getLogger().addHandler(handler := logging.NullHandler())
    GlobalHydra.instance().hydra = own  # type: ignore[assignment]
    yield own
    GlobalHydra.instance().hydra = None
    torch.use_deterministic_algorithms(False)
    logging.getLogger().removeHandler(handler)


def optimizer_of_a_net() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    net = torch.nn.utils.skip_init(torch.nn.Linear, 4, 2)  # which draws no random numbers
    torch.nn.init.zeros_(net.weight)
    torch.nn.init.zeros_(net.bias)
    return net, torch.optim.SGD(net.parameters(), lr=0.1)


def find_on_own_objects() -> lrlab.FoundLR:
    net, optimizer = optimizer_of_a_net()
    batches = [(torch.zeros(3, 4), torch.zeros(3, dtype=torch.long))]
    return lrlab.find_lr(net, optimizer, batches, torch.nn.functional.cross_entropy, updates=20)


CALLS = {
    "schedule": lambda: lrlab.cosine(lr=0.1, epochs=3)._repr_html_(),
    "preview": lambda: lrlab.preview("step", "wsd", lr=0.1, epochs=40)._repr_html_(),
    "check": lambda: lrlab.check(lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2), epochs=8),
    "watch": lambda: lrlab.watch(optimizer_of_a_net()[1], lrlab.cosine(lr=0.1, epochs=3)).begin().end(),
    "train": lambda: lrlab.train("scheduler=step", *SHORT)._repr_html_(),
    "sweep": lambda: lrlab.sweep("seed=0,1", "sweep=here", "hydra.launcher.in_process=true", *SHORT)._repr_html_(),
    "sweep in processes": lambda: lrlab.sweep("seed=0,1", "hydra.launcher.threads=1", *SHORT),
    "compare": lambda: lrlab.compare("outputs/sweeps/here")._repr_html_(),
    "find_lr": find_on_own_objects,
    "find_lr of overrides": lambda: lrlab.find_lr("model=mlp", seeds=1, updates=20)._repr_html_(),
    "model": lambda: lrlab.Run("outputs/runs/named").model,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.usefixtures("hydra_of_the_host")
def test_a_call_leaves_the_host_as_it_was(name):
    if name == "compare":
        lrlab.sweep("seed=0,1", "sweep=here", "hydra.launcher.in_process=true", *SHORT)
    if name == "model":
        lrlab.train("hydra.run.dir=outputs/runs/named", *SHORT)
    before = host()
    CALLS[name]()
    after = host()
    assert {one for one in before if before[one] != after[one]} == set()


def test_train_is_the_run_of_the_same_words(command, tmp_path):
    run = lrlab.train("scheduler=step", *SHORT)
    assert command("scheduler=step", *SHORT, "hydra.run.dir=typed").code == 0
    assert same_weights(weights(run.folder), weights(tmp_path / "typed"))
    assert run.status == "finished"
    assert run.summary["val_loss"] == summary(tmp_path / "typed")["val_loss"]


def test_a_run_tells_what_it_reached():
    run = lrlab.train("scheduler=step", *SHORT)
    history = run.history
    assert [*history["epoch"]] == [0, 1]
    assert history["val_loss"][1] == run.summary["val_loss"]
    assert run.settings["optimizer.lr"] == 0.02
    outputs = run.model(torch.zeros(2, 1, 8, 8))
    assert outputs.shape == (2, 10)
    assert not run.model.training
    for weights_of in ("last", "best"):
        assert run.load_model(weights_of).state_dict().keys() == run.model.state_dict().keys()
    with pytest.raises(ValueError, match='do: weights="best"'):
        run.load_model("first")
    assert "<svg" in run._repr_html_()
    assert lrlab.Run(run.folder).history["val_loss"][1] == history["val_loss"][1]
    with pytest.raises(ValueError, match="allowed: the folder of a run"):
        lrlab.Run("nowhere")


def test_a_run_is_resumed_and_extended():
    run = lrlab.train("scheduler=step", *SHORT)
    again = lrlab.train(f"resume={run.folder}", "extend=3")
    assert again.folder.samefile(run.folder)
    assert [*again.history["epoch"]] == [0, 1, 2]


def test_a_mistake_is_an_error_and_never_an_exit():
    with pytest.raises(lrlab.UserError, match=r"trainer\.epochs: got 0"):
        lrlab.train("trainer.epochs=0")
    with pytest.raises(lrlab.UserError, match="did you mean"):
        lrlab.train("trainer.epoch=3")
    with pytest.raises(ValueError, match=r"do: lrlab\.sweep"):
        lrlab.train("-m", "scheduler=step,cosine")
    for typed in ("--version", "--help", "--cfg"):
        with pytest.raises(ValueError, match=f"overrides: got {typed}"):
            lrlab.train(typed)
    with pytest.raises(ValueError, match="overrides: got 3"):
        lrlab.train(3)  # type: ignore[arg-type]


def test_a_loss_that_diverges_is_an_error_that_says_so():
    with pytest.raises(lrlab.UserError, match="loss"):
        lrlab.train("optimizer.lr=1e30", *SHORT)


@pytest.mark.slow
def test_a_class_of_this_session_trains_and_is_refused_where_processes_cannot_import_it(monkeypatch):
    import __main__

    class Net(torch.nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, num_classes))

        def forward(self, images):
            return self.net(images)

    monkeypatch.setattr(__main__, "Net", Net, raising=False)
    own = "model={_target_: __main__.Net}"
    assert lrlab.train(own, "trainer.epochs=1", "scheduler.interval=step").status == "finished"
    run = lrlab.train(own, "trainer.epochs=1", "scheduler.interval=step")
    assert isinstance(run.model, Net)  # this session vouches for it
    with pytest.raises(lrlab.UserError, match="if you know and trust"):
        _ = lrlab.Run(run.folder).model
    assert isinstance(lrlab.Run(run.folder).load_model("last", own), Net)
    with pytest.raises(lrlab.UserError, match=r"model: got __main__\.Net, which was defined in this session"):
        lrlab.sweep(own, "seed=0,1", "trainer.epochs=1")
    assert len(lrlab.sweep(own, "seed=0,1", "trainer.epochs=1", "hydra.launcher.in_process=true")) == 2


def test_a_sweep_gives_its_runs_and_goes_on():
    given = ("scheduler=step,cosine", "hydra.launcher.in_process=true", "sweep=here", *SHORT)
    runs = lrlab.sweep(*given)
    assert [run.status for run in runs] == ["finished"] * 2
    assert [*runs.to_frame()["scheduler"]] == ["cosine", "step"]
    before = [run.summary["seconds"] for run in runs]
    again = lrlab.sweep(*given)
    assert [run.summary["seconds"] for run in again] == before
    said = [lrlab.compare(one).sentences for one in (runs, "outputs/sweeps/here", list(runs))]
    assert said[0] == said[1] == said[2]


def test_a_run_that_fails_is_among_them_and_named():
    with pytest.warns(UserWarning, match="1 of 2 runs did not finish"):
        runs = lrlab.sweep("optimizer.lr=0.1,1e30", "hydra.launcher.in_process=true", *SHORT)
    assert sorted(run.status for run in runs) == ["diverged", "finished"]
    columns = runs.to_frame()
    assert {len(columns[name]) for name in columns} == {2}
    assert runs._repr_html_().count("<tr>") == 3


SCRIPT = """
import lrlab
print("started")
runs = lrlab.sweep("seed=0,1", "trainer.epochs=1", "model=mlp", "hydra.launcher.threads=1")
print(len(runs), [run.status for run in runs])
"""


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["started", "2 ['finished', 'finished']", ""]


INTERRUPTED = """
import os, signal, threading, time
import lrlab

def press():
    while not list(__import__("pathlib").Path("outputs").rglob("last.pt")):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press, daemon=True).start()
run = lrlab.train("trainer.epochs=2000")
print(run.status, 0 < run.summary["updates"] < 2000 * 21)
"""


@pytest.mark.slow
def test_ctrl_c_gives_the_saved_run(tmp_path):
    (tmp_path / "script.py").write_text(INTERRUPTED)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False)
    assert done.stdout == "interrupted True\n", done.stderr


MISTAKES = {
    "a keyword": (
        lambda: lrlab.train(optimizer="adam"),
        'optimizer: got a keyword; allowed: a text, as on a command line; do: lrlab.train("optimizer=adam")',
    ),
    "a class as a keyword": (
        lambda: lrlab.train(optimizer=torch.optim.Adam),
        'optimizer: got a keyword; allowed: a text, as on a command line; do: lrlab.train("optimizer=...")',
    ),
    "a keyword of a sweep": (lambda: lrlab.sweep(seed="0,1"), 'do: lrlab.sweep("seed=0,1")'),
    "no text": (lambda: lrlab.sweep(3), 'do: lrlab.sweep("scheduler=step")'),
    "a name": (lambda: lrlab.train("scheduler=stp"), "scheduler: got 'stp' (did you mean step?); "),
    "several values": (lambda: lrlab.train("seed=0,1"), "do: lrlab.sweep(...) to run each of them"),
    "one text of several": (lambda: lrlab.sweep("scheduler=stp,step"), "scheduler: got 'stp' (did you mean step?); "),
    "a range test by keywords": (lambda: lrlab.find_lr(optimizer="adam"), 'do: lrlab.find_lr("optimizer=adam")'),
    "objects by keywords": (
        lambda: lrlab.find_lr(model=torch.nn.Linear(1, 1)),
        "model: got a keyword; allowed: your own objects by position; do: lrlab.find_lr(model, optimizer, loader, loss",
    ),
    "no folder": (lambda: lrlab.compare("nope"), 'do: lrlab.compare("outputs/sweeps/NAME")'),
    "an argument": (lambda: lrlab.schedule("step", epochs=9, gama=1), "gama: got an argument that step does not have "),
    "an axis": (lambda: lrlab.schedule("step", epochs=9).plot(x="day"), 'do: x="epoch"'),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_that_speaks_of_python_without_what_was_raised_inside(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRLAB_DEBUG", raising=False)
    call, said = MISTAKES[name]
    with pytest.raises(lrlab.UserError) as raised:
        call()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    shown = "".join(traceback.format_exception(raised.value))
    assert shown.count("Traceback") == 1


def test_where_it_is_asked_for_what_was_raised_inside_is_shown(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LRLAB_DEBUG", "1")
    with pytest.raises(lrlab.UserError) as raised:
        lrlab.train("scheduler=stp")
    assert "".join(traceback.format_exception(raised.value)).count("Traceback") > 1


def test_a_warning_is_at_the_line_that_called(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="stepped by epochs, and this run has one") as told:
        lrlab.train("trainer.epochs=1", "model=linear")
    assert {one.filename for one in told} == {__file__}
    run = lrlab.train(*SHORT)
    (run.folder / "checkpoints" / "last.pt").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="the one before it, is used instead") as told:
        lrlab.train(f"resume={run.folder}")
    assert {one.filename for one in told} == {__file__}
