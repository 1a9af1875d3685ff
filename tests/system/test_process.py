"""What a process knows of itself, and how it leaves."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import ROOT

from lrlab.system import process


def test_the_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {1, 5}, raising=False)
    assert process.cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert process.cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert process.cores() == 1


def test_another_thread_sees_where_the_main_thread_is():
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(process.main_thread_is_in()))
    thread.start()
    thread.join()
    assert seen[0].startswith("in ")
    assert "threading.py:" in seen[0] or __file__ in seen[0]  # it waits for the other, or is about to


@pytest.mark.parametrize(
    ("leave", "printed"), [("leave_at_once(3)", ""), ("leave_after_printing(3)", "last words")], ids=["now", "printed"]
)
def test_a_process_leaves_without_pythons_own_end(leave, printed):
    """Python would run `finally`, and flush what was printed to a pipe."""
    script = (
        "from lrlab.system import process\n"
        "print('last words', end='')\n"
        "try:\n"
        f"    process.{leave}\n"
        "finally:\n"
        "    print(', and more', flush=True)\n"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    left = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False, env=buffered
    )
    assert (left.returncode, left.stdout, left.stderr) == (3, printed, "")


def test_threads_wait_as_the_user_says_and_else_not_long(monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # to be as it was afterwards
        monkeypatch.delenv(name)
    process.let_waiting_threads_sleep()
    assert os.environ["GOMP_SPINCOUNT"] == str(process.SPIN_COUNT)
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    process.let_waiting_threads_sleep()
    assert os.environ["GOMP_SPINCOUNT"] == "5"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    process.let_waiting_threads_sleep()
    assert "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="processes are known by /proc")
def test_a_process_is_gone_once_it_has_ended_and_a_number_that_is_given_again_is_another():
    assert not process.is_gone(process.myself())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = process.Known(process.myself().namespace, child.pid, process._stat(child.pid)[1])
    assert not process.is_gone(known)
    assert process.is_gone(known._replace(started="1"))
    assert not process.is_gone(known._replace(namespace="another machine", number=2**22 + 1))
    with child:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # nobody takes note of it
        assert process.is_gone(known)
    assert process.is_gone(known)
