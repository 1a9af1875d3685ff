"""What tests of commands share: the installed command, and no memory of how an earlier test was started."""

import os
import sys
import tomllib
from pathlib import Path

import pytest
from support import ROOT

from lrlab.system import spelling


@pytest.fixture(autouse=True)
def started_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins as a notebook does, and what it notes is forgotten after it."""
    monkeypatch.setenv(spelling._VARIABLE, spelling.INSTALLED)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script `lrlab`, as pip writes it for [project.scripts], and the folder of this Python, on the PATH."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["lrlab"].split(":")
    folder = tmp_path.parent / f"{tmp_path.name}-bin"
    folder.mkdir()
    script = folder / "lrlab"
    lines = [f"#!{sys.executable}", "import sys", f"from {module} import {function}"]
    script.write_text("\n".join([*lines, 'if __name__ == "__main__":', f"    sys.exit({function}())", ""]))
    script.chmod(0o755)
    python = folder / "python"  # a link would lose its virtual environment
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return script
