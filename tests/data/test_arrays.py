"""Arrays of any shape become splits; what a file does not say is asked for in one line."""

import numpy
import pytest
import torch

from lrlab.data.arrays import arrays, diabetes
from lrlab.data.batches import Batches, Batching
from lrlab.errors import UserError

CPU = torch.device("cpu")
RANDOM = numpy.random.default_rng(0)


def saved(folder, **named):
    numpy.savez(folder / "a.npz", **named)
    return str(folder / "a.npz")


def every_sample(splits):
    """The inputs and targets of all splits."""
    parts = [part.tensors for part in splits.parts.values()]
    return torch.cat([inputs for inputs, _ in parts]), torch.cat([targets for _, targets in parts])


SHAPES = {
    "numbers to numbers": ((50, 3), (50,), "f", "f", None),
    "signals to two numbers": ((50, 2, 16), (50, 2), "f", "f", None),
    "flags": ((50, 5), (50, 4), "f", "b", None),
    "classes": ((50, 5), (50,), "f", "i", 3),
    "images of bytes": ((50, 8, 8), (50,), "u", "i", 3),
    "volumes": ((50, 1, 4, 4, 4), (50,), "f", "i", 3),
}


def of_kind(kind, shape):
    if kind == "f":
        return RANDOM.normal(3, 5, shape)
    if kind == "b":
        return RANDOM.random(shape) < 0.5
    if kind == "u":
        return RANDOM.integers(0, 256, shape).astype(numpy.uint8)
    return RANDOM.integers(0, 3, shape)


@pytest.mark.parametrize("case", SHAPES)
def test_samples_and_targets_have_any_shape_and_type(case, tmp_path):
    inputs, targets, kind, predicted, num_classes = SHAPES[case]
    x, y = of_kind(kind, inputs), of_kind(predicted, targets)
    splits = arrays(saved(tmp_path, x=x, y=y), standardize=False)
    assert (splits.num_classes, splits.target_shape) == (num_classes, targets[1:])
    assert splits.sizes == {"train": 35, "val": 5, "test": 10}
    found, predictions = every_sample(splits)
    first = {tuple(row) for row in x.reshape(50, -1).astype("float32").round(3).tolist()}
    assert {tuple(row) for row in found.reshape(50, -1).numpy().astype("float32").round(3).tolist()} == first
    assert predictions.dtype == {"f": torch.float32, "b": torch.bool, "i": torch.int64}[predicted]
    batches = Batches(splits.train, Batching(batch_size=4), num_classes=num_classes, seed=0, device=CPU, train=True)
    some, labels = next(batches.epoch(0))
    assert some.dtype == splits.sample_dtype == torch.float32
    assert some.shape[1:] == splits.shape
    assert labels.shape == (4, *targets[1:])


def test_pixels_are_scaled_by_the_loop_and_get_a_channel(tmp_path):
    x = RANDOM.integers(0, 256, (50, 8, 8)).astype(numpy.uint8)
    splits = arrays(saved(tmp_path, x=x, y=RANDOM.integers(0, 2, 50)))
    assert splits.are_images
    batches = Batches(splits.val, Batching(batch_size=5), num_classes=2, seed=0, device=CPU, train=False)
    [(images, _)] = batches.epoch(0)
    assert torch.equal(images, splits.val.tensors[0] / 255)


def test_inputs_are_standardized_by_the_training_samples_alone(tmp_path):
    x = RANDOM.normal([5, -3, 7], [1, 100, 0], (200, 3))
    path = saved(tmp_path, x=x, y=RANDOM.normal(size=200))
    splits, raw = arrays(path), arrays(path, standardize=False)
    trained, whole = splits.train.tensors[0].double(), raw.train.tensors[0].double()
    assert trained.mean(0).abs().max() < 1e-6
    assert trained.std(0, correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-5)
    mean, deviation = whole.mean(0), whole.std(0, correction=0).clamp(min=1e-9)
    deviation[2] = 1
    expected = (raw.test.tensors[0].double() - mean) / deviation
    torch.testing.assert_close(splits.test.tensors[0].double(), expected, atol=1e-4, rtol=1e-4)


def test_targets_are_standardized_where_that_is_asked_for(tmp_path):
    y = RANDOM.normal([1e5, -3], [4e4, 1e-3], (200, 2))
    path = saved(tmp_path, x=RANDOM.normal(size=(200, 2)), y=y)
    assert "data.standardize_targets=true" in arrays(path).notes[0]
    splits = arrays(path, standardize_targets=True)
    assert splits.notes == ()
    trained = splits.train.tensors[1].double()
    assert trained.mean(0).abs().max() < 1e-5
    assert trained.std(0, correction=0).tolist() == pytest.approx([1, 1], abs=1e-4)
    classes = saved(tmp_path, x=RANDOM.normal(size=(200, 2)), y=numpy.arange(200) % 2)
    with pytest.raises(UserError, match=r"data.standardize_targets: got true, for targets of .* that are no numbers"):
        arrays(classes, standardize_targets=True)


def test_each_class_is_held_out_in_proportion_and_by_the_seed(tmp_path):
    y = numpy.repeat([0, 1, 2], [100, 60, 40])
    path = saved(tmp_path, x=RANDOM.normal(size=(200, 2)), y=y)
    splits = arrays(path)
    for part, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        counts = torch.bincount(getattr(splits, part).tensors[1], minlength=3)
        assert counts.tolist() == pytest.approx([100 * share, 60 * share, 40 * share], abs=1)
    assert not torch.equal(arrays(path, split_seed=1).val.tensors[0], splits.val.tensors[0])
    assert torch.equal(arrays(path).val.tensors[0], splits.val.tensors[0])


def test_a_file_may_have_a_test_split_of_its_own(tmp_path):
    x = RANDOM.normal(size=(30, 2))
    path = saved(tmp_path, x_train=x[:20], y_train=x[:20, 0], x_test=x[20:], y_test=x[20:, 0])
    splits = arrays(path, standardize=False)
    assert splits.sizes == {"train": 18, "val": 2, "test": 10}
    assert torch.equal(splits.test.tensors[0], torch.from_numpy(x[20:]).float())


def test_a_test_split_of_another_kind_is_told_before_anything_is_trained(tmp_path):
    x = RANDOM.normal(size=(30, 2))
    for x_test, y_test in ((x[:10].astype(int), x[:10]), (x[:10], x[:10, 0]), (x[:10], x[:10] > 0)):
        path = saved(tmp_path, x_train=x, y_train=x, x_test=x_test, y_test=y_test)
        with pytest.raises(UserError, match=r"data.root: got training (inputs|targets) of float64 .* and test "):
            arrays(path)


def test_classes_in_a_column_of_their_own_are_classes(tmp_path):
    path = saved(tmp_path, x=RANDOM.normal(size=(30, 2)), y=RANDOM.integers(0, 3, (30, 1)))
    assert (arrays(path).num_classes, arrays(path).target_shape) == (3, ())
    assert (arrays(path, classes=False).num_classes, arrays(path, classes=False).target_shape) == (None, (1,))


def test_a_folder_of_two_files(tmp_path):
    numpy.save(tmp_path / "inputs.npy", RANDOM.normal(size=(30, 2)))
    numpy.save(tmp_path / "targets.npy", RANDOM.normal(size=30))
    assert arrays(str(tmp_path)).sizes == {"train": 21, "val": 3, "test": 6}


CSV = "area,rooms,town,price\n" + "".join(f"{40 + 3 * n},{n % 5},{'abc'[n % 3]},{100.5 + n}\n" for n in range(30))


def test_a_table_has_columns(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    path = str(tmp_path / "a.csv")
    prices = arrays(path, inputs=["area", "rooms"])
    assert (prices.num_classes, prices.shape, prices.target_shape) == (None, (2,), ())
    towns = arrays(path, inputs=["area", "rooms"], targets="town")
    assert (towns.num_classes, towns.target_shape) == (3, ())
    rooms = arrays(path, inputs="area", targets="rooms", classes=False)
    assert (rooms.num_classes, rooms.shape) == (None, (1,))
    both = arrays(path, inputs="area", targets=["rooms", "price"])
    assert (both.num_classes, both.target_shape) == (None, (2,))


def test_diabetes_is_there_without_a_download():
    splits = diabetes()
    assert splits.sizes == {"train": 310, "val": 44, "test": 88}
    assert (splits.shape, splits.num_classes, splits.target_shape) == ((10,), None, ())
    _, targets = every_sample(splits)
    assert (targets.mean().item(), targets.std(correction=0).item()) == pytest.approx((0, 1), abs=1e-5)


def test_other_values_are_other_data(tmp_path):
    x, y = RANDOM.normal(size=(30, 2)), RANDOM.normal(size=30)
    one = arrays(saved(tmp_path, x=x, y=y)).contents
    assert arrays(saved(tmp_path, x=x, y=y)).contents == one
    assert arrays(saved(tmp_path, x=x + 1e-6, y=y)).contents != one


WRONG = {
    "b.npz": "data.root: got .*b.npz, which does not exist .did you mean .*a.npz",
    "there.csv": r"data.root: got .*there.csv, which does not exist; allowed: a file .*; do: data.root=FILE.csv",
    "z.txt": r"data.root: got .*z.txt, which does not exist; allowed: a file \*.npz, \*.csv, or a folder",
    "a.txt": r"data.root: got .*a.txt, which is none of these; allowed: a file \*.npz, \*.csv, or a folder",
    "pickled.npz": "data.root: got .*pickled.npz, which cannot be read",
    "ragged.csv": "data.root: got 2 values in line 3 of .*; allowed: 4, one a column",
    "words.csv": "data.inputs: got 'a' in column town, line 2 of .*; allowed: numbers; do: data.inputs=.area,rooms.",
    "nan.npz": "data.inputs: got inputs that are not finite, first in sample 3 of",
    "lengths.npz": r"data.root: got inputs \(30, 2\) and targets \(29,\)",
    "unnamed.npz": "data.inputs: got no array inputs or x in .*; allowed: first, second; do: data.inputs=NAME",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_file_lacks_is_one_line(name, tmp_path):
    x, y = RANDOM.normal(size=(30, 2)), RANDOM.normal(size=30)
    saved(tmp_path, x=x, y=y)
    holes = x.copy()
    holes[3, 1] = numpy.nan
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "ragged.csv").write_text("a,b,c,d\n1,2,3,4\n1,2\n")
    (tmp_path / "words.csv").write_text(CSV)
    numpy.savez(tmp_path / "pickled.npz", x=numpy.array([{}, {}, {}]), y=y[:3])
    numpy.savez(tmp_path / "nan.npz", x=holes, y=y)
    numpy.savez(tmp_path / "lengths.npz", x=x, y=y[:-1])
    numpy.savez(tmp_path / "unnamed.npz", first=x, second=y)
    with pytest.raises(UserError, match=WRONG[name]):
        arrays(str(tmp_path / name))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"targets": "pricy"}, r"data.targets: got pricy, which is no column of .* \(did you mean price\?\)"),
        ({"val": "official"}, "data.val: got official, for a file without a split of its own"),
        ({"val": "90%", "test": "20%"}, "data.val: got 90% of 30 samples, which leaves none"),
        ({"classes": True, "inputs": "area"}, "data.classes: got true, for targets of float64"),
        ({"classes": "yes", "inputs": "area"}, "data.classes: got 'yes'; allowed: auto, true or false"),
    ],
)
def test_settings_that_do_not_fit_the_file_are_one_line(settings, said, tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    with pytest.raises(UserError, match=said):
        arrays(str(tmp_path / "a.csv"), **{"inputs": ["area", "rooms"], **settings})
