"""The processes of a loader end when they are told to, in whatever state they are."""

import multiprocessing
import os
import time

import pytest
import torch

from lrlab.data import loader
from lrlab.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")


class Numbers(torch.utils.data.Dataset):
    """Ten numbers, each with the niceness of the process that made it; one of them may take for ever."""

    def __init__(self, endless: int = -1):
        self.endless = endless

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[int, int]:
        while index == self.endless:
            time.sleep(0.1)
        return index, os.nice(0)


@pytest.fixture(autouse=True)
def nobody_is_left():
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("workers", [0, 2])
def test_items_arrive_as_they_are_and_in_order(workers):
    items = iter(loader.start(Numbers(), workers=workers, ahead=2, batch_size=None))
    assert [index for index, _ in items] == list(range(10))
    loader.end(items)


def test_processes_in_the_background_leave_the_cores_to_training():
    own = os.nice(0)
    items = iter(loader.start(Numbers(), workers=1, ahead=2, in_background=True, batch_size=None))
    assert {niceness for _, niceness in items} == {min(own + 5, 19)}
    loader.end(items)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    items = iter(loader.start(Numbers(), workers=1, ahead=1, batch_size=None))
    next(items)
    loader.end(items)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_that_is_left_ends_its_processes(workers):
    items = iter(loader.start(Numbers(), workers=workers, ahead=2, batch_size=None))
    next(items)
    loader.end(items)


def test_a_loader_that_was_ended_starts_anew():
    kept = loader.start(Numbers(), workers=2, ahead=2, batch_size=None, persistent_workers=True)
    loader.end_persistent(kept)  # before it has any
    for _ in range(2):
        assert next(iter(kept))[0] == 0
        loader.end_persistent(kept)


@pytest.mark.slow
def test_processes_that_are_stuck_are_killed_and_not_waited_for():
    kept = loader.start(Numbers(endless=4), workers=2, ahead=2, batch_size=None, persistent_workers=True)
    loader.kill_persistent(kept)  # before it has any
    with pytest.raises(RuntimeError, match="timed out"):
        list(kept)
    stuck = multiprocessing.active_children()
    loader.kill_persistent(kept)
    for process in stuck:
        process.join(30)
        assert not process.is_alive()
    loader.end_persistent(kept)


class Late(torch.utils.data.Dataset):
    """Three numbers, the second of which comes late, or says of itself that it is."""

    def __init__(self, error: str = ""):
        self.error = error

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        if index == 1 and self.error:
            raise RuntimeError(self.error)
        time.sleep(0.4 * (index == 1))
        return index


def each(dataset, monkeypatch, waiting, most_seconds=0.0):
    monkeypatch.setattr(loader, "SECONDS_BETWEEN_LOOKS", 0.05)
    items = iter(loader.start(dataset, workers=1, ahead=2, batch_size=None))
    try:
        yield from loader.each(items, most_seconds=most_seconds, waiting=waiting)
    finally:
        loader.end(items)


def test_a_late_item_is_waited_for_and_something_is_done_meanwhile(monkeypatch):
    looks = []
    assert list(each(Late(), monkeypatch, lambda: looks.append(1))) == [0, 1, 2]
    assert looks


def test_what_is_done_while_waiting_may_end_it(monkeypatch):
    def stop():
        raise KeyboardInterrupt

    items = each(Late(), monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        list(items)


def test_only_looks_count_as_waiting_and_not_the_time_in_which_the_process_was_stopped(monkeypatch):
    looks = []
    list(each(Late(), monkeypatch, lambda: looks.append(time.sleep(0.3)), most_seconds=0.3))
    assert 0 < len(looks) < 6
    with pytest.raises(loader.TimedOut, match=r"DataLoader timed out after 0\.1 seconds"):
        list(each(Late(), monkeypatch, lambda: None, most_seconds=0.1))


def test_an_error_of_a_data_set_that_speaks_of_time_is_no_late_item(monkeypatch):
    with pytest.raises(RuntimeError, match="DataLoader timed out after all"):
        list(each(Late("DataLoader timed out after all"), monkeypatch, lambda: None))


def test_a_message_that_holds_the_name_of_its_error_stays_whole():
    raised = UserError(
        "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        "  File x\nlrlab.errors.UserError: data.root: got UserError: x.png; do: replace it"
    )
    assert str(loader.as_raised(raised)) == "data.root: got UserError: x.png; do: replace it"
