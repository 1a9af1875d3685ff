"""A process carries out one run after another, and no run meets what another left."""

import os
from pathlib import Path

import pytest
from support import FAULTY, history, points, same_weights, summary, weights

from lrlab.sweeps import processes, worker

SMALL = ("trainer.epochs=2", "data.batch_size=256", "hydra.launcher.threads=1")
# Says where it runs, and leaves what `how` says.
LEAVING = """
import os, random, sys, threading, time
import torch
from pathlib import Path
from lrlab.models import linear

def net(num_classes, input_shape, how):
    found = [os.environ.get("LEFT"), torch.get_num_threads(), random.random(), float(torch.rand(1))]
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


def test_what_a_run_changes_in_its_process_is_changed_back(command, tmp_path, leaving):
    assert command(*leaving, "model.how=first,state,after").code == 0
    runs = {how: (number, found) for how, number, found in met(tmp_path)}
    assert runs["after"] == runs["first"]


def test_a_fresh_process_follows_a_run_that_leaves_a_thread(command, tmp_path, leaving):
    assert command(*leaving, "model.how=a,b,thread,c,d").code == 0
    runs = {how: number for how, number, _ in met(tmp_path)}
    assert runs["a"] == runs["b"] == runs["thread"] != runs["c"] == runs["d"]


def test_a_fresh_process_follows_a_run_that_does_not_finish(command, tmp_path):
    noting = "with open('pids', 'a') as file:\n            file.write(f'{os.getpid()} ')\n        super().__init__()"
    (tmp_path / "faulty.py").write_text(FAULTY.replace("super().__init__()", noting))
    typed = ("model._target_=faulty.Net", "model.how=fine,raising,leaving,killed,diverging,sound,good")
    assert command("-m", *typed, *SMALL, "trainer.epochs=3", "sweep=s").code == 1
    numbers = [number for number in (tmp_path / "pids").read_text().split() if int(number) != os.getpid()]
    fine, raising, leaving, killed, diverging, sound, good = numbers
    assert fine == raising
    assert len({raising, leaving, killed, diverging, sound}) == 5
    assert sound == good
    said = [summary(path.parent)["status"] for path in sorted(tmp_path.glob("outputs/sweeps/s/*/summary.json"))]
    assert sorted(said) == ["diverged", "failed", "failed", "finished", "finished", "finished", "killed"]


def test_a_process_leaves_that_holds_much_more_than_after_its_first_run(monkeypatch):
    held = iter([3 << 30, (3 << 30) + 900_000_000, 1 << 30, (4 << 30) + 1, 3 << 30])
    monkeypatch.setattr(worker.process, "memory_bytes", lambda: next(held))
    traces = worker._Traces()
    assert [traces.have_grown() for _ in range(5)] == [False, False, False, True, False]


def test_a_process_that_died_while_it_waited_is_replaced():
    crew = processes._Crew(1, [None], reuse=True, seen=print, ended=print, stopping=lambda: False)
    place = crew.places.get()
    first = crew._worker(place)
    assert crew._worker(place) is first
    first.process.kill()
    first.process.join()
    second = crew._worker(place)
    assert second is not first
    assert crew.workers == [second]
    crew.close()
    assert not second.process.is_alive()
