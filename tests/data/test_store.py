"""Images are kept whole or not at all, under a name that changes with their content."""

import multiprocessing
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from lrlab.data import decoding, image_files, map_datasets, store
from lrlab.errors import UserError

CPU = torch.device("cpu")
N = 10
more_processes_than_cores = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture
def files(tmp_path) -> image_files.ImageFiles:
    """Two classes of five images of noise."""
    for index in range(N):
        (tmp_path / "files" / str(index % 2)).mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 256, (6, 5, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.numpy()).save(tmp_path / "files" / str(index % 2) / f"{index}.png")
    return image_files.read(tmp_path / "files", None)


@pytest.fixture
def in_processes(monkeypatch):
    """Even these few images are decoded in processes of their own."""
    monkeypatch.setattr(decoding, "_IMAGES_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(decoding, "_CHUNK", 3)


def keep(dataset, place: str = "memory", folder: Path = Path("cache"), **settings) -> tuple[torch.Tensor, torch.Tensor]:
    settings = {"shape": (3, 6, 5), "num_classes": 2, "workers": 0, **settings}
    return store.keep(dataset, place, folder=folder, device=CPU, **settings)


def is_kept_whole(dataset, kept: tuple[torch.Tensor, torch.Tensor]) -> bool:
    images, labels = zip(*(dataset[index] for index in range(len(dataset))), strict=True)
    return torch.equal(kept[0], torch.stack(images)) and kept[1].tolist() == list(labels)


@pytest.mark.usefixtures("in_processes")
@more_processes_than_cores
@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("workers", [0, 3])
def test_every_image_is_kept_as_it_is_read(files, place, workers):
    assert is_kept_whole(files, keep(files, place, workers=workers))


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_few_images_need_no_process(files, place, monkeypatch):
    here: list[int] = []
    read = image_files.ImageFiles.__getitem__
    monkeypatch.setattr(
        image_files.ImageFiles, "__getitem__", lambda dataset, index: (here.append(index), read(dataset, index))[1]
    )
    kept = keep(files, place, workers=3)
    assert {*here} == {*range(N)}  # what another process reads is not seen here
    assert is_kept_whole(files, kept)


@pytest.mark.usefixtures("in_processes")
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_progress_is_told(files, place):
    told: list[tuple[int, int]] = []
    keep(files, place, progress=lambda done, total: told.append((done, total)))
    assert told == [(3, N), (6, N), (9, N), (10, N)]


def test_what_is_on_disk_is_not_read_again(files, monkeypatch):
    first = keep(files, "disk")
    monkeypatch.setattr(image_files.ImageFiles, "__getitem__", None)
    again = keep(files, "disk")
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_images_that_are_tensors_are_kept_on_disk_by_their_content():
    images = torch.arange(N * 90).to(torch.uint8).view(N, 3, 6, 5)

    def dataset(first_pixel: int) -> map_datasets.Images:
        changed = images.clone()
        changed[0, 0, 0, 0] = first_pixel
        return map_datasets.Images(N, (3, 6, 5), 2, lambda: (changed, torch.arange(N) % 2))

    for pixel in (0, 1, 0):
        kept = dataset(pixel)
        assert is_kept_whole(dataset(pixel), keep(kept, "disk"))
        assert "tensors" not in vars(kept)  # no second copy
    assert len(list(Path("cache").iterdir())) == 2


CHANGES = {
    "content": lambda path: Image.new("RGB", (5, 6), "red").save(path),
    "time": lambda path: os.utime(path, ns=(0, 0)),
    "name": lambda path: path.rename(path.with_name("new.png")),
    "label": lambda path: path.rename(path.parent.with_name("1") / path.name),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_key_follows_the_files(files, change):
    before = files.fingerprint()
    assert image_files.read(files.homes[0].parent, None).fingerprint() == before
    assert image_files.read(files.homes[0].parent, 4).fingerprint() != before
    keep(files, "disk")
    change(Path(files.samples[0][0]))
    changed = image_files.read(files.homes[0].parent, None)
    assert changed.fingerprint() != before
    assert is_kept_whole(changed, keep(changed, "disk"))


def test_the_key_does_not_follow_the_folder(files, tmp_path):
    before = files.fingerprint()
    (tmp_path / "files").rename(tmp_path / "moved")
    assert image_files.read(tmp_path / "moved", None).fingerprint() == before


def test_a_damaged_file_is_replaced(files):
    keep(files, "disk")
    file = next(Path("cache").glob("*/images"))
    for size in (0, 100, file.stat().st_size + 1):
        os.truncate(file, size)
        assert is_kept_whole(files, keep(files, "disk"))


class Counted(torch.utils.data.Dataset):
    """Images that take their time and are counted when they are read; `dies` at one of them if it is told to."""

    def __init__(self, dies: bool = False):
        self.dies = dies

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Path("read.txt").open("a") as file:
            file.write(f"{index}\n")
        if self.dies and index == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return torch.full((3, 6, 5), index % 256, dtype=torch.uint8), index % 2

    def fingerprint(self) -> str:
        return "counted"


def start(dataset) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=keep, args=(dataset, "disk"))
    process.start()
    return process


def test_of_several_processes_one_reads_and_the_others_wait():
    processes = [start(Counted()) for _ in range(3)]
    kept = keep(Counted(), "disk")
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(Path("read.txt").read_text().split()) == N
    assert is_kept_whole(Counted(), kept)


def test_what_a_killed_process_left_is_not_taken_for_whole():
    process = start(Counted(dies=True))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(Path("cache").glob("*/*.part"))) == 1
    assert is_kept_whole(Counted(), keep(Counted(), "disk"))
    assert [path.name for path in Path("cache").glob("*/*")] == ["images"]


class Many(Counted):
    """More images than anybody will wait for."""

    def __len__(self) -> int:
        return 100_000


def read_until_killed() -> None:
    order = torch.arange(len(Many()))
    arriving = store.Arrivals(Many(), order, shape=(3, 6, 5), num_classes=2, workers=2)
    arriving.wait(torch.arange(99))
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("in_processes")
def test_who_reads_ends_when_nobody_is_left_to_read_for():
    process = multiprocessing.get_context("fork").Process(target=read_until_killed)
    process.start()
    process.join()
    sizes = [-1, Path("read.txt").stat().st_size]
    while sizes[-1] > sizes[-2]:
        assert len(sizes) < 30, "they read on"
        time.sleep(1)
        sizes.append(Path("read.txt").stat().st_size)


@pytest.mark.usefixtures("in_processes")
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_stop_while_reading_leaves_nothing(files, place):
    def stop(done: int, _total: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(files, place, progress=stop)
    assert list(Path().glob("cache/*/*")) == []
    assert is_kept_whole(files, keep(files, place))


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("alone", [True, False], ids=["here", "in processes"])
def test_an_image_that_does_not_decode_is_named_and_nothing_is_left(files, request, place, alone):
    if not alone:
        request.getfixturevalue("in_processes")
    bad = files.samples[6][0]
    Path(bad).write_bytes(b"no image")
    with pytest.raises(UserError, match=rf"^data\.root: got {re.escape(bad)}, which does not decode .*[^\n]$"):
        keep(files, place)
    assert list(Path().glob("cache/*/*")) == []


def test_images_of_another_shape_and_labels_out_of_range_are_named(files):
    with pytest.raises(UserError, match=r"data: got label 1 at index 5; allowed: 0 to 0 for 1 classes; do: "):
        keep(files, num_classes=1)
    Image.new("RGB", (4, 4)).save(files.samples[6][0])
    two = r"\S+/0/0\.png, index 0: \(3, 6, 5\); \S+/1/3\.png, index 6: \(3, 4, 4\)"
    with pytest.raises(UserError, match=rf"data: got images of two shapes \({two}\); "):
        keep(files)


class Noisy(torch.utils.data.Dataset):
    """Somebody's data set with random transforms."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> tuple:
        return torch.randint(0, 256, (3, 6, 5)).byte() // 2 + random.randrange(99), index % 2


class Floats(Noisy):
    def __getitem__(self, index: int) -> tuple:
        return torch.rand(3, 6, 5), index % 2


@pytest.mark.usefixtures("in_processes")
@more_processes_than_cores
def test_a_data_set_that_may_be_random_is_kept_alike_everywhere():
    before = torch.get_rng_state()
    kept = [keep(Noisy(), place, workers=workers) for place in ("memory", "disk") for workers in (0, 3)]
    assert all(torch.equal(kept[0][0], images) for images, _ in kept)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(Path("cache").iterdir()) == []  # nobody could tell whether it is still the same


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_floats_cannot_be_kept(place):
    with pytest.raises(UserError, match=r"data\.cache: got an image of float32 at index 0; .*; do: data\.cache=none"):
        keep(Floats(), place)
