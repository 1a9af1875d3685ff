"""Images are kept in the first place with room for both splits, or in none; a place that was asked for, or an error."""

from pathlib import Path

import pytest
import torch

from lrlab.data import files, map_datasets, room
from lrlab.errors import UserError
from lrlab.system import distributed

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MAYBE_RANDOM = [(torch.zeros(3, 6, 5).byte(), 0)] * 10
FIXED = map_datasets.Fixed(MAYBE_RANDOM, "ten black images")


def choose(wanted: str, *datasets, device: torch.device = CPU, budget: int | None = None) -> room.Choice:
    settings = {"cache": wanted, "budget_bytes": budget, "folder": lambda: Path("cache"), "device": device}
    return room.choose(datasets, (3, 6, 5), **settings)


def test_auto_takes_the_first_place_with_room_for_both_splits(monkeypatch):
    size = 2 * 10 * 90
    free = {"device": 2 * size, "memory": 2 * size, "disk": 2 * size}
    monkeypatch.setattr(room, "_free_bytes", lambda place, _folder, _device: free[place])
    for place in ("device", "memory", "disk"):
        assert choose("auto", FIXED, FIXED, device=CUDA) == (place, size)
        free[place] -= 1  # half of it is too little now
    assert choose("auto", FIXED, FIXED, device=CUDA) == ("none", size)
    assert choose("auto", FIXED, FIXED, device=CUDA, budget=size).place == "device"
    assert choose("auto", FIXED, FIXED, budget=size).place == "memory"  # the device's memory is this memory
    assert choose("device", FIXED, FIXED, budget=size).place == "memory"
    assert choose("none", FIXED, FIXED).place == "none"


@pytest.mark.parametrize("place", ["device", "memory", "disk"])
def test_a_place_that_is_too_small_is_an_error(monkeypatch, place):
    message = rf"data\.cache: got {place}, for images of 1\.8 kB; allowed: at most {{}}; do: data\.cache=auto, or "
    with pytest.raises(UserError, match=message.format(r"1\.8 kB, what data\.cache_bytes allows")):
        choose(place, FIXED, FIXED, budget=1799)
    monkeypatch.setattr(room, "_free_bytes", lambda *_: 1000)
    with pytest.raises(UserError, match=message.format(r"0\.5 kB, half of what is free there")):
        choose(place, FIXED, FIXED)


def test_what_is_free_is_known_here():
    for place in ("device", "memory", "disk"):
        assert room._free_bytes(place, lambda: Path("not/there/yet"), CPU) > 1_000_000


def test_what_may_be_random_is_kept_only_on_request():
    assert choose("auto", FIXED, FIXED).place == "memory"
    assert choose("auto", FIXED, MAYBE_RANDOM).place == "none"
    assert choose("memory", FIXED, MAYBE_RANDOM).place == "memory"


def test_floats_are_not_kept():
    floats = map_datasets.Fixed([(torch.zeros(3, 6, 5), 0)] * 10, "ten black images")
    assert choose("auto", floats).place == "none"


def test_each_rank_of_a_machine_keeps_its_own(monkeypatch):
    monkeypatch.setattr(room, "_free_bytes", lambda place, *_: 2 * 2 * 900 if place != "disk" else 0)
    for ranks, place in ((2, "memory"), (3, "none")):
        monkeypatch.setattr(distributed, "local_ranks", lambda ranks=ranks: ranks)
        assert choose("auto", FIXED).place == place


def test_what_is_on_disk_already_needs_no_room(monkeypatch):
    monkeypatch.setattr(room, "_free_bytes", lambda *_: 0)
    with pytest.raises(UserError, match=r"data\.cache: got disk"):
        choose("disk", FIXED)
    file = files.path_of(FIXED, (3, 6, 5), Path("cache"))
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(files.layout(FIXED, (3, 6, 5)).size_bytes))
    assert choose("disk", FIXED).place == "disk"
    assert choose("auto", FIXED).place == "disk"
    file.write_bytes(b"cut short")
    assert choose("auto", FIXED).place == "none"


def test_batches_that_processes_share_need_room_where_they_share_memory(monkeypatch):
    monkeypatch.setattr(room, "_free_shared_bytes", lambda: 1_000_000)
    room.require_shared_memory(200_000, workers=2, prefetch=2)
    room.require_shared_memory(2_000_000, workers=0, prefetch=2)
    with pytest.raises(UserError, match=r"data\.workers: got 3 that make 2 batches each ahead, 1\.4 MB of shared mem"):
        room.require_shared_memory(200_000, workers=3, prefetch=2)
    monkeypatch.setattr(room, "_free_shared_bytes", lambda: None)
    room.require_shared_memory(2_000_000, workers=3, prefetch=2)


def test_a_run_asks_for_that_room_before_it_has_a_folder_to_keep(command, monkeypatch, tmp_path):
    monkeypatch.setattr(room, "_free_shared_bytes", lambda: 100_000)
    outcome = command("data=fake", "data.cache=none", "data.workers=2", "model=mlp")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "data.workers: got 2 that make 2 batches each ahead" in outcome.err
    assert list(tmp_path.iterdir()) == []
    assert command("data=fake", "data.cache=none", "data.workers=0", "model=mlp", "trainer.epochs=1").code == 0
