"""A signal is a request; what others do with it comes first, and what is ignored stays ignored."""

import os
import signal

import forked
import pytest
from support import same_weights, weights

from lrlab.system.signals import ENDING, SAVING, stop_request

ALL = (*ENDING, *SAVING)


@pytest.fixture(autouse=True)
def as_it_was():
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ALL, ids=lambda number: number.name)
def test_each_is_noted_once_and_its_handler_is_put_back(number):
    before = signal.getsignal(number)
    with stop_request() as request:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert request.number == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", SAVING, ids=lambda number: number.name)
def test_what_nohup_ignores_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    with stop_request() as request:
        os.kill(os.getpid(), number)
        assert request.number == 0


@pytest.mark.parametrize("number", SAVING, ids=lambda number: number.name)
def test_a_handler_that_is_there_already_goes_first(number):
    seen: list[tuple[int, int]] = []
    with_request: list = []
    signal.signal(number, lambda got, _: seen.append((got, with_request[0].number)))
    with stop_request() as request:
        with_request.append(request)
        os.kill(os.getpid(), number)
        assert seen == [(number, 0)]  # before the request was noted
        assert request.number == number


def test_a_handler_that_raises_is_not_held_back():
    def leave(_number, _frame):
        raise SystemExit(3)

    signal.signal(signal.SIGUSR2, leave)
    with pytest.raises(SystemExit), stop_request():
        os.kill(os.getpid(), signal.SIGUSR2)


def test_a_second_signal_that_only_asks_to_save_ends_nothing(monkeypatch):
    monkeypatch.setattr("lrlab.system.signals.SECONDS_OF_ONE_REQUEST", -1.0)
    with stop_request() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)  # would end this process
        os.kill(os.getpid(), signal.SIGHUP)
        assert request.number == signal.SIGTERM


HANGING = """
import time
from pathlib import Path
import torch
from lrlab.data import Splits

class Images:
    def __len__(self): return 40
    def __getitem__(self, index):
        while index == 37 and not Path("goes_on").exists():
            Path("hangs").touch()
            time.sleep(0.05)
        return torch.full((1, 8, 8), index / 40), index % 2

def data():
    return Splits(Images(), [(torch.zeros(1, 8, 8), 0)], 2)
"""


@pytest.mark.slow  # the run waits for its images for half a minute
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_whose_next_images_do_not_come_and_it_goes_on_exactly(tmp_path, number):
    (tmp_path / "hanging.py").write_text(HANGING)
    typed = ["data._target_=hanging.data", "data.cache=none", "data.workers=1", "data.batch_size=4", "data.shift=0"]
    typed += ["model=linear", "trainer.epochs=1", "hydra.run.dir=run"]
    run = forked.start(*typed)
    forked.wait_for((tmp_path / "hangs").exists)
    os.kill(run.pid, number)
    assert run.wait() == 128 + number
    assert "saved; to go on:" in run.said()
    (tmp_path / "goes_on").touch()
    resumed = forked.start("resume=run", typed[0])
    assert resumed.wait() == 0, resumed.complained()
    typed[-1] = "hydra.run.dir=undisturbed"
    assert forked.start(*typed).wait() == 0
    assert same_weights(weights(tmp_path / "run"), weights(tmp_path / "undisturbed"))
