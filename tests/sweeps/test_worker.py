"""A process carries out one run after another, and no run meets what another left."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support import FAULTY, history, points, same_weights, summary, weights
from support import job as made_up

from lrlab.sweeps import processes, worker
from lrlab.sweeps.shared import Order

SMALL = ("trainer.epochs=2", "data.batch_size=256", "hydra.launcher.threads=1")
# Says where it runs, and leaves what `how` says.
LEAVING = """
import os, random, sys, threading, time
import torch
from pathlib import Path
from lrlab.models import linear

def net(num_classes, input_shape, how):
    switches = torch.get_num_threads(), torch.backends.mkldnn.enabled
    found = [os.environ.get("LEFT"), *switches, random.random(), float(torch.rand(1))]
    with open(Path(__file__).with_name("met.txt"), "a") as file:
        file.write(f"{how};{os.getpid()};{found}\\n")
    print("this is", how, flush=False)
    is_worker = "forkserver" in str(sys.orig_argv)
    if how == "state" and is_worker:
        os.environ["LEFT"] = "1"
        torch.set_num_threads(2)
    made = linear(num_classes=num_classes, input_shape=input_shape).float()
    if how == "state" and is_worker:
        random.seed(3), torch.manual_seed(3)
    if how == "tee" and is_worker:
        class Tee:
            def write(self, text):
                return len(text)
            def flush(self):
                pass
        sys.stdout = Tee()
    if how == "close" and is_worker:
        sys.stdout.close()
    if how == "switch" and is_worker:
        torch.backends.mkldnn.set_flags(False)
    if how == "process" and is_worker:
        import subprocess
        subprocess.Popen(["sleep", "60"])
    if how == "waited for" and is_worker:
        threading.Thread(target=time.sleep, args=(1000,)).start()
    if how == "thread" and is_worker:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    return made
"""


def met(folder: Path) -> list[tuple[str, int, str]]:
    """What each run was, its process, and the state that it met, in their order."""
    lines = [line.split(";") for line in (folder / "met.txt").read_text().splitlines()]
    return [(how, int(number), found) for how, number, found in lines if int(number) != os.getpid()]


@pytest.fixture
def leaving(tmp_path):
    (tmp_path / "leaving.py").write_text(LEAVING)
    return ("-m", "model._target_=leaving.net", *SMALL)


def test_runs_that_finish_share_a_process_and_are_what_they_are_alone(command, tmp_path, leaving):
    for name, reuse in (("together", "true"), ("alone", "false")):
        typed = (*leaving, "model.how=a,b,c", f"hydra.launcher.reuse={reuse}", f"sweep={name}")
        outcome = command(*typed)
        assert (outcome.code, outcome.err) == (0, "")
    numbers = [number for _, number, _ in met(tmp_path)]
    assert len(set(numbers[:3])) == 1
    assert len(set(numbers[3:])) == 3
    sweeps = tmp_path / "outputs" / "sweeps"
    for how in "abc":
        together, alone = (sweeps / name / f"how={how}" for name in ("together", "alone"))
        assert same_weights(weights(together), weights(alone))
        assert history(together) == history(alone)
        assert points(together) == points(alone)
        for run in (together, alone):
            said = [line for line in (run / "train.log").read_text().splitlines() if line.startswith("this is")]
            assert said == [f"this is {how}"]


@pytest.mark.parametrize("how", ["state", "switch"])
def test_what_a_run_changes_in_its_process_is_changed_back(command, tmp_path, leaving, how):
    assert command(*leaving, f"model.how=first,{how},after").code == 0
    runs = {how: (number, found) for how, number, found in met(tmp_path)}
    assert runs["after"] == runs["first"]


@pytest.mark.parametrize("how", ["thread", "waited for", "process"])
def test_a_fresh_process_follows_a_run_that_leaves_a_thread_or_a_process(command, tmp_path, leaving, how, monkeypatch):
    monkeypatch.setattr(processes, "_SECONDS_TO_LEAVE", 0.5)
    assert command(*leaving, f"model.how=a,b,'{how}',c,d").code == 0
    runs = {how: number for how, number, _ in met(tmp_path)}
    assert runs["a"] == runs["b"] == runs[how] != runs["c"] == runs["d"]


@pytest.mark.parametrize("how", ["tee", "close"])
def test_what_a_run_does_to_its_output_is_no_matter_to_the_next_one(command, tmp_path, leaving, how):
    assert command(*leaving, f"model.how={how},after", "sweep=s").code == 0
    assert len({number for _, number, _ in met(tmp_path)}) == 1
    said = (tmp_path / "outputs" / "sweeps" / "s" / "how=after" / "train.log").read_text()
    assert "this is after" in said.splitlines()


def crew_of(order: Order, ended: Callable[..., None] = print) -> processes._Crew:
    return processes._Crew(1, [None], order, reuse=True, seen=print, ended=ended, stopping=lambda: False)


def test_a_run_that_never_began_is_not_told_as_one_that_failed(tmp_path):
    ended: list[object] = []
    order = Order([made_up("late", tmp_path / "late")])
    crew = crew_of(order, ended=lambda *told: ended.append(told))
    begin = processes._Worker.begin

    def begin_and_stop(this, job):
        os.kill(this.process.pid, signal.SIGSTOP)  # so that it hears both at once
        begin(this, job)
        this.say_stop()
        os.kill(this.process.pid, signal.SIGCONT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes._Worker, "begin", begin_and_stop)
        crew.carry_out_in(crew.places[0])
    crew.close()
    assert ended == []
    assert not (tmp_path / "late").exists()


def test_a_fresh_process_follows_a_run_that_does_not_finish(command, tmp_path):
    noting = "with open('pids', 'a') as file:\n            file.write(f'{os.getpid()} ')\n        super().__init__()"
    (tmp_path / "faulty.py").write_text(FAULTY.replace("super().__init__()", noting))
    typed = ("model._target_=faulty.Net", "model.how=fine,raising,leaving,killed,diverging,sound,good")
    assert command("-m", *typed, *SMALL, "trainer.epochs=3", "sweep=s", "hydra.launcher.retries=0").code == 1
    numbers = [number for number in (tmp_path / "pids").read_text().split() if int(number) != os.getpid()]
    fine, raising, leaving, killed, diverging, sound, good = numbers
    assert fine == raising
    assert len({raising, leaving, killed, diverging, sound}) == 5
    assert sound == good
    said = [summary(path.parent)["status"] for path in sorted(tmp_path.glob("outputs/sweeps/s/*/summary.json"))]
    assert sorted(said) == ["diverged", "failed", "failed", "finished", "finished", "finished", "killed"]


@pytest.mark.slow
def test_a_process_leaves_that_holds_much_more_than_after_its_first_run(monkeypatch):
    stays, is_garbage = ((4 << 30) + 1, (4 << 30) + 1), (5 << 30, 3 << 30)  # before and after it is collected
    held = iter([3 << 30, (3 << 30) + 900_000_000, 1 << 30, *stays, *is_garbage])
    monkeypatch.setattr(worker.process, "memory_bytes", lambda: next(held))
    traces = worker._Traces()
    assert [traces.have_grown() for _ in range(5)] == [False, False, False, True, False]


def test_a_process_that_died_while_it_waited_is_replaced():
    crew = crew_of(Order([]))
    (place,) = crew.places
    first = crew._worker(place)
    assert crew._worker(place) is first
    first.process.kill()
    first.process.join()
    second = crew._worker(place)
    assert second is not first
    assert crew.workers == [second]
    crew.close()
    assert not second.process.is_alive()
