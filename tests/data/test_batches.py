"""Batches are a pure function of (seed, epoch, index), whatever makes them."""

import itertools
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from lrlab.data import batches as batches_room
from lrlab.data import decoding, map_datasets, samples
from lrlab.data.batches import Batches, Batching, batches_per_epoch
from lrlab.data.readers import Kept, Loaded
from lrlab.errors import DataError, UserError
from lrlab.system import process, randomness

CPU = torch.device("cpu")
N = 23
IMAGES = torch.arange(N * 2 * 6 * 5, dtype=torch.int64).remainder(251).to(torch.uint8).view(N, 2, 6, 5)
LABELS = torch.arange(N) % 4


class Plain(torch.utils.data.Dataset):
    """The same images, one at a time; `noisy` draws from all three global generators, as a random transform may."""

    def __init__(self, noisy: bool = False):
        self.noisy = noisy

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> tuple:
        image = IMAGES[index]
        if self.noisy:
            image = image.float() + torch.rand(()) + random.random() + numpy.random.rand()
        return image, int(LABELS[index])


def in_memory() -> map_datasets.Images:
    return map_datasets.Images(N, (2, 6, 5), 4, lambda: (IMAGES, LABELS))


def batches(dataset, *, train: bool = True, seed: int = 0, rank: int = 0, ranks: int = 1, **settings: Any) -> Batches:
    settings = {"batch_size": 5, **settings}
    return Batches(
        dataset, Batching(**settings), num_classes=4, seed=seed, device=CPU, train=train, rank=rank, ranks=ranks
    )


def listed(source: Batches, epoch: int = 0, start: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(images.clone(), labels.clone()) for images, labels in source.epoch(epoch, start)]


def equal(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )


AUGMENTED = {"shift": 2, "flip": True, "mean": [0.5, 0.4], "std": [0.2, 0.3]}
ALL_AUGMENTED = {**AUGMENTED, "cutout": 3, "resized_crop": 0.3}
more_than_some_machines_have_cores = pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")


@more_than_some_machines_have_cores
@pytest.mark.parametrize("cached", ["device", "memory", "disk", "none"])
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("settings", [AUGMENTED, ALL_AUGMENTED], ids=["augmented", "all augmented"])
def test_any_cache_and_any_number_of_workers_give_the_same_batches(monkeypatch, cached, workers, settings):
    monkeypatch.setattr(decoding, "_IMAGES_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(decoding, "_CHUNK", 4)
    expected = batches(in_memory(), **settings)
    for dataset in (Plain(), in_memory()):
        source = batches(dataset, cache=cached, cache_dir="kept", workers=workers, **settings)
        assert equal(listed(source, epoch=0), listed(expected, epoch=0))
        assert equal(listed(source, epoch=4, start=2), listed(expected, epoch=4)[2:])
        source.close()


class Waiting(Plain):
    """The image at `index` cannot be read before somebody makes a file."""

    def __init__(self, index: int):
        super().__init__()
        self.index = index

    def __getitem__(self, index: int) -> tuple:
        patience = 300
        while index == self.index and not Path("go").exists():
            time.sleep(0.1)
            patience -= 1
            assert patience, "an image was waited for that is not needed yet"
        return super().__getitem__(index)


@pytest.fixture
def two_readers(monkeypatch):
    monkeypatch.setattr(process, "cores", lambda: 2)
    monkeypatch.setattr(decoding, "_IMAGES_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(decoding, "_CHUNK", 4)


@more_than_some_machines_have_cores
@pytest.mark.usefixtures("two_readers")
@pytest.mark.parametrize("start", [0, 2])
def test_training_starts_before_the_last_image_of_its_first_epoch_is_read(start):
    before = set(multiprocessing.active_children())
    expected = listed(batches(in_memory(), **AUGMENTED), 1, start)
    last = torch.randperm(N, generator=randomness.generator(0, "order", 1))[-1]
    source = batches(Waiting(int(last)), cache="memory", **AUGMENTED)
    epoch, made = source.epoch(1, start), []
    for images, labels in itertools.islice(epoch, 2):
        made.append((images, labels))
    Path("go").touch()
    assert equal([*made, *epoch], expected)
    assert equal(listed(source, 2), listed(batches(in_memory(), **AUGMENTED), 2))
    assert set(multiprocessing.active_children()) <= before  # nothing is read any more


@more_than_some_machines_have_cores
@pytest.mark.usefixtures("two_readers")
def test_an_epoch_that_is_left_while_images_are_read_can_be_entered_again():
    before = set(multiprocessing.active_children())
    source = batches(Plain(), cache="memory")
    epoch = source.epoch(0)
    next(epoch)
    source.close()
    assert set(multiprocessing.active_children()) <= before
    next(source.epoch(0))
    assert equal(listed(source), listed(batches(in_memory())))


@more_than_some_machines_have_cores
@pytest.mark.usefixtures("two_readers")
def test_the_end_of_an_epoch_does_not_wait_for_images_that_it_did_not_need():
    order = torch.randperm(N, generator=randomness.generator(0, "order", 1))
    source = batches(Waiting(int(order[0])), cache="memory")
    assert equal(listed(source, 1, start=3), listed(batches(in_memory()), 1, start=3))
    Path("go").touch()
    assert equal(listed(source, 2), listed(batches(in_memory()), 2))
    assert equal(listed(source, 3), listed(batches(in_memory()), 3))
    source.close()


class Counting(Plain):
    """Writes down which images are read."""

    def __getitem__(self, index: int) -> tuple:
        with Path("read.txt").open("a") as file:
            file.write(f"{index}\n")
        return super().__getitem__(index)


def test_another_seed_needs_no_image_that_was_read_for_the_one_before(monkeypatch):
    monkeypatch.setattr(decoding, "_CHUNK", 1)
    source = batches(Counting(), cache="memory")
    Path("read.txt").unlink(missing_ok=True)  # the constructor looks at the first one
    for seed in range(4):
        source.seed = seed
        expected = listed(batches(in_memory(), seed=seed))[:2]
        assert equal(list(itertools.islice(source.epoch(0), 2)), expected)
    read = Path("read.txt").read_text().split()
    assert 10 < len(read) == len(set(read))


def test_an_image_that_cannot_be_read_ends_the_first_epoch_where_it_is_needed():
    source = batches(Wrong(), cache="memory")
    with pytest.raises(
        DataError, match=r"^data: got images of two shapes \(index 0: \(2, 6, 5\); index 7: \(2, 5, 5\)\); "
    ):
        listed(source)
    assert not source.source.ready
    with pytest.raises(DataError, match=r"^data: got images of two shapes "):
        listed(source)


@more_than_some_machines_have_cores
@pytest.mark.parametrize("workers", [0, 1])
def test_another_seed_loads_other_batches_by_the_same_processes(workers):
    source = batches(Plain(noisy=True), workers=workers, seed=0)
    next(source.epoch(0))
    children = set(multiprocessing.active_children())
    source.seed = 1
    assert equal(listed(source), listed(batches(Plain(noisy=True), seed=1)))
    assert set(multiprocessing.active_children()) == children
    source.close()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("start", [0, 3])
def test_batches_are_the_same_however_many_are_made_at_once(monkeypatch, count, start):
    expected = listed(batches(in_memory(), **ALL_AUGMENTED), 1, start)
    monkeypatch.setattr(batches_room, "_BYTES_AT_ONCE", count * 4 * 5 * 2 * 6 * 5)
    assert equal(listed(batches(in_memory(), **ALL_AUGMENTED), 1, start), expected)
    one_by_one = listed(batches(in_memory(), cache="none", **ALL_AUGMENTED), 1, start)
    assert equal(one_by_one, expected)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_batches_lie_where_tensors_of_their_own_would(size):
    pixels = IMAGES.flatten().repeat(2)[: N * size**2].view(N, 1, size, size)
    dataset = map_datasets.Images(N, (1, size, size), 4, lambda: (pixels, LABELS))
    for images, labels in batches(dataset).epoch(0):
        assert images.data_ptr() % 64 == 0
        assert labels.data_ptr() % 64 == 0
        assert images.is_contiguous()


@more_than_some_machines_have_cores
@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("place", ["memory", "none"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_the_parts_of_the_ranks_make_up_the_batch(place, workers, ranks):
    whole = listed(batches(Plain(), **ALL_AUGMENTED), 1)
    own = [
        batches(Plain(), cache=place, workers=workers, rank=rank, ranks=ranks, **ALL_AUGMENTED) for rank in range(ranks)
    ]
    parts = [listed(source, 1) for source in own]
    for source in own:
        source.close()
    # The last batch has three images, so of four ranks one has none there.
    assert [len(part) for part in parts] == [5 if rank < 3 else 4 for rank in range(ranks)]
    for batch, (images, labels) in enumerate(whole):
        for rank, part in enumerate(parts):
            if batch < len(part):
                assert torch.equal(part[batch][0], images[rank::ranks])
                assert torch.equal(part[batch][1], labels[rank::ranks])


def test_what_has_no_room_is_loaded():
    source, expected = batches(in_memory(), cache_bytes=0), batches(in_memory())
    assert isinstance(source.source, Loaded)
    assert isinstance(expected.source, Kept)
    assert equal(listed(source), listed(expected))


def test_what_is_kept_is_not_changed_by_making_batches():
    for tensors in (IMAGES, IMAGES.float()):
        dataset = map_datasets.Images(N, (2, 6, 5), 4, lambda tensors=tensors: (tensors.clone(), LABELS))
        first, again = (listed(batches(dataset, mean=[0.5, 0.4], std=[0.2, 0.3])) for _ in range(2))
        assert equal(first, again)
        assert torch.equal(dataset.tensors[0], tensors)


@pytest.mark.parametrize("workers", [0, 2])
def test_random_transforms_of_a_data_set_are_addressed_too(workers):
    expected = listed(batches(Plain(noisy=True)), epoch=2)
    torch.manual_seed(99)
    again = batches(Plain(noisy=True), workers=workers)
    listed(again, epoch=1)
    assert equal(listed(again, epoch=2), expected)
    assert not equal(listed(again, epoch=3), expected)


@pytest.mark.parametrize("dataset", [in_memory(), Plain(noisy=True)], ids=["memory", "loader"])
@pytest.mark.parametrize("start", [0, 2, 5])
def test_an_epoch_can_be_entered_in_the_middle(dataset, start):
    source = batches(dataset, **ALL_AUGMENTED)
    assert equal(listed(source, epoch=1, start=start), listed(source, epoch=1)[start:])


def test_making_batches_leaves_the_global_generators_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    listed(batches(in_memory(), **AUGMENTED))
    listed(batches(Plain(noisy=True), workers=1))
    listed(batches(Plain(noisy=True)))
    assert torch.equal(torch.rand(3), expected)


def test_every_sample_is_in_an_epoch_once():
    labels = torch.cat([labels for _, labels in listed(batches(in_memory()))])
    images = torch.cat([images for images, _ in listed(batches(in_memory()))])
    assert labels.bincount().tolist() == LABELS.bincount().tolist()
    assert sorted(images.sum((1, 2, 3)).tolist()) == pytest.approx(sorted((IMAGES / 255).sum((1, 2, 3)).tolist()))


def test_training_is_shuffled_anew_each_epoch_and_validation_never():
    train, val = batches(in_memory()), batches(in_memory(), train=False, shift=2, flip=True)
    assert not equal(listed(train, 0), listed(train, 1))
    assert not equal(listed(train), listed(batches(in_memory(), seed=1)))
    assert torch.equal(torch.cat([images for images, _ in listed(val)]), IMAGES / 255)


@pytest.mark.parametrize(
    ("drop_last", "train", "sizes"),
    [(False, True, [5, 5, 5, 5, 3]), (True, True, [5, 5, 5, 5]), (True, False, [5, 5, 5, 5, 3])],
)
def test_only_training_drops_a_smaller_last_batch(drop_last, train, sizes):
    source = batches(in_memory(), drop_last=drop_last, train=train)
    assert [len(labels) for _, labels in listed(source)] == sizes
    assert len(source) == len(sizes) == batches_per_epoch(N, source.batching, train=train)


def test_normalization_uses_the_scale_of_zero_to_one():
    images, _ = next(batches(in_memory(), train=False, mean=[0.5, 0.25], std=[0.2, 0.1]).epoch(0))
    assert torch.equal(
        images, (IMAGES[:5] / 255 - torch.tensor([0.5, 0.25]).view(2, 1, 1)) / torch.tensor([0.2, 0.1]).view(2, 1, 1)
    )


class Wrong(Plain):
    def __getitem__(self, index: int) -> tuple:
        if index == 7:
            return IMAGES[index][:, 1:], 0
        return IMAGES[index], 9 if index == 16 else 0


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_a_sample_is_one_line_with_its_index(workers):
    source = batches(Wrong(), train=False, workers=workers)
    with pytest.raises(
        UserError, match=r"^data: got images of two shapes \(index 5: \(2, 6, 5\); index 7: \(2, 5, 5\)\); .*$"
    ):
        listed(source)
    with pytest.raises(UserError, match=r"^data: got label 9 at index 16; allowed: 0 to 3 for 4 classes; .*$"):
        listed(source, start=2)
    source.close()


def test_pil_images_and_arrays_will_do():
    from PIL import Image

    grey = numpy.arange(30, dtype="uint8").reshape(6, 5)
    assert samples.as_tensor(Image.fromarray(grey)).shape == (1, 6, 5)
    assert samples.as_tensor(numpy.stack([grey] * 3, 2)).shape == (3, 6, 5)
    assert samples.as_tensor(torch.zeros(2, 6, 5)).dtype == torch.float32
