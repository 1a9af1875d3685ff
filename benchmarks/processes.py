"""Measurements in processes of their own: clean thread counts and allocators, an empty folder, and a real terminal."""

import contextlib
import fcntl
import importlib
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.timing import ROOT, Measured, Missing

_SECONDS_BETWEEN_LOOKS = 0.1


def measure(target: str, *, threads: int, memory: bool = False, **arguments: Any) -> Measured:
    """What the function `target` (MODULE:NAME, in this folder) returns, called in a process with so many threads.

    With `memory` the peak of what that process and its children hold is added. Raises Missing where `target` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "benchmarks.processes", target, json.dumps(arguments), str(result)]
        with log.open("wb") as output:
            child = subprocess.Popen(
                command, cwd=folder, env=environment(threads), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            peak = _peak_memory(child) if memory else {}
            code = child.wait()
        if code or not result.exists():
            raise SystemExit(f"{target} failed with code {code}:\n{log.read_text(errors='replace')[-3000:]}")
        found = json.loads(result.read_text())
    if "missing" in found:
        raise Missing(found["missing"])
    return found | peak


def environment(threads: int) -> dict[str, str]:
    """The environment of a measurement: the same lrlab, so many threads, a terminal that draws."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path, "TERM": "xterm-256color"}


def main() -> None:
    """Call the function that `measure` names, and write what it returns."""
    target, arguments, result = sys.argv[1:]
    module, _, name = target.partition(":")
    try:
        found = getattr(importlib.import_module(f"benchmarks.{module}"), name)(**json.loads(arguments))
    except Missing as reason:
        found = {"missing": str(reason)}
    Path(result).write_text(json.dumps(found))


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """Everything that this process prints goes to a pseudo-terminal, so that progress is really drawn.

    Another process reads it, so that reading costs the measured one nothing.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    reader = subprocess.Popen(["cat"], stdin=ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(ours)
    kept = [os.dup(1), os.dup(2)]
    for standard in (1, 2):
        os.dup2(theirs, standard)
    os.close(theirs)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for standard, before in zip((1, 2), kept, strict=True):
            os.dup2(before, standard)
            os.close(before)
        with contextlib.suppress(subprocess.TimeoutExpired):
            reader.wait(2)
        reader.kill()
        reader.wait()


def _peak_memory(child: subprocess.Popen[bytes]) -> dict[str, float]:
    """The highest resident memory of a process and its children together, looked at ten times a second.

    Resident pages that processes share are counted in each; the proportional size shares them out (Linux).
    """
    try:
        import psutil
    except ImportError:
        return {}
    peaks = {"peak RSS, MB": 0.0}
    finished = threading.Event()
    while child.poll() is None:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(child.pid)
            family = [root, *root.children(recursive=True)]
            resident, proportional = 0.0, 0.0
            for process in family:
                with contextlib.suppress(psutil.Error):
                    information = process.memory_full_info()
                    resident += information.rss
                    proportional += getattr(information, "pss", information.rss)
            peaks["peak RSS, MB"] = max(peaks["peak RSS, MB"], resident / 1e6)
            peaks["peak PSS, MB"] = max(peaks.get("peak PSS, MB", 0.0), proportional / 1e6)
        finished.wait(_SECONDS_BETWEEN_LOOKS)
    return peaks


if __name__ == "__main__":
    main()
