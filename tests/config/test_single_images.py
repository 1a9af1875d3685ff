"""A batch of one image and batch normalization: known before anything is written, with an advice that helps."""

import shlex

import pytest

FAKE = ("data=fake", "data.image_size=32", "data.val_images=8", "trainer.epochs=1")
RESNET = ("model=torchvision", "model.name=resnet18")
CASES = {
    "a last batch of one": ("data.train_images=33", "data.batch_size=16"),
    "batches of one": ("data.train_images=4", "data.batch_size=1"),
    "parts of one": ("data.train_images=16", "data.batch_size=8", "trainer.accumulate=8"),
    "some parts of one": ("data.train_images=12", "data.batch_size=6", "trainer.accumulate=5"),
    "parts of a last batch of one": ("data.train_images=20", "data.batch_size=16", "trainer.accumulate=4"),
    "one image": ("data.train_images=1", "data.batch_size=8"),
}


SOME = ("a last batch of one", "some parts of one", "one image")  # the others are of the same two reckonings
LONG = [pytest.param(typed, id=name, marks=() if name in SOME else pytest.mark.slow) for name, typed in CASES.items()]


@pytest.mark.parametrize("typed", LONG)
def test_a_part_of_one_image_is_refused_before_the_run_and_the_advice_helps(command, tmp_path, typed):
    refused = command(*FAKE, *RESNET, *typed)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert refused.err.startswith(
        "lrlab: error: data.batch_size: got parts of a batch that are a single image, on which"
    )
    assert not (tmp_path / "outputs").exists()
    if "data.train_images=1" in typed:
        return  # nothing helps but more images
    advice = shlex.split(refused.err.rpartition("; do: ")[2])
    done = command(*FAKE, *RESNET, *typed, *advice)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("typed", CASES.values(), ids=CASES)
def test_a_model_that_takes_one_image_is_trained_on_it(command, typed):
    done = command(*FAKE, "model=linear", *typed)
    assert (done.code, done.err) == (0, "")


def test_the_default_model_with_a_feature_map_takes_one_image(command):
    done = command(*FAKE, "model=cnn", *CASES["a last batch of one"])
    assert (done.code, done.err) == (0, "")
