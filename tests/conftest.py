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
from support import BY_HYDRA, ComposedBefore, Outcome

from lrlab.commands import train
from lrlab.config import compose

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # so has every process that a test starts
# The same examples everywhere, and no deadline: the first one may pay for an import.
settings.register_profile("lrlab", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("lrlab")


@pytest.fixture(autouse=True, scope="session")
def _nothing_waits_in_vain() -> Iterator[None]:
    """In the tests' own process, what takes a tenth of their time or more and tells them nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "by_hydra", ComposedBefore())
        patch.setattr(os, "fsync", lambda handle: None)  # noqa: ARG005  # no test takes the power away
        if not torch.cuda.is_available():  # torch keeps a stack trace with every seed, for a device that may come
            patch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)  # noqa: ARG005
        yield


@pytest.fixture
def composed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra composes every config itself."""
    monkeypatch.setattr(compose, "by_hydra", BY_HYDRA)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test runs in an empty folder; modules that it imported from there and logs that it opened go with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield
    for name in sys.modules.keys() - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
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
