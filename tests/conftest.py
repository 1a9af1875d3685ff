"""Every test runs in an empty folder, on one thread, and may run the command line in its own process."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from support import ComposedBefore, Outcome

from lrlab.commands import train
from lrlab.config import compose

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # so has every process that a test starts
# The same examples everywhere, and no deadline: the first one may pay for an import.
settings.register_profile("lrlab", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("lrlab")


@pytest.fixture(autouse=True, scope="session")
def _composed_before() -> Iterator[None]:
    """What Hydra composes of the same options is composed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "by_hydra", ComposedBefore())
        yield


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test runs in an empty folder; modules that it imported from there and logs that it opened go with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    for handler in logging.getLogger().handlers[:]:
        if isinstance(handler, logging.FileHandler):
            handler.close()
            logging.getLogger().removeHandler(handler)


@pytest.fixture
def enter(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run a command's `main` with ARGUMENTS in this process."""

    def run(main: Callable[[], None], *arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["lrlab", *arguments])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def command(enter: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Run `python train.py ARGUMENTS` in this process."""
    return partial(enter, train.main)
