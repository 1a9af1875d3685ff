"""One form for every complaint: three parts that are attributes, made in one place, whole in every process."""

import ast
import importlib
import pickle
import pkgutil
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

import lrlab
from lrlab.config import checks
from lrlab.data.loader import as_raised, end
from lrlab.errors import DataError, UserError, WrongArgument, closest, wrong
from lrlab.runs.checkpoint import Damaged
from lrlab.schedules import cosine
from lrlab.system.disk import Refused, Unreadable
from lrlab.system.distributed import PeerFailed
from lrlab.training.divergence import Diverged
from lrlab.training.precision import StepFailed

KINDS = (UserError, WrongArgument, DataError, Refused, Unreadable, Damaged, PeerFailed, Diverged, StepFailed)
PACKAGE = Path(lrlab.__file__).parent


def parts(error):
    return error.key, error.got, error.allowed, error.do


def subclasses(kind):
    return {kind}.union(*(subclasses(one) for one in kind.__subclasses__()))


def test_every_kind_is_tested_here():
    for module in pkgutil.walk_packages(lrlab.__path__, "lrlab."):
        # These may need Ray, or other people's libraries.
        if not module.name.startswith(("lrlab.plugins", "lrlab.sweeps", "lrlab.integrations", "lrlab.__main__")):
            importlib.import_module(module.name)
    assert {kind for kind in subclasses(UserError) if kind.__module__.startswith("lrlab.")} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_has_its_parts_as_attributes_and_keeps_them_in_another_process(kind):
    error = wrong("a.b", got=1, allowed="2; or 3", do="a.b=2", kind=kind)
    arrived = pickle.loads(pickle.dumps(error))
    for one in (error, arrived):
        assert type(one) is kind
        assert str(one) == "a.b: got 1; allowed: 2; or 3; do: a.b=2"
        assert parts(one) == ("a.b", "1", "2; or 3", "a.b=2")
        assert one.complaint == "a.b: got 1"


def test_what_was_got_need_not_be_something_that_another_process_can_be_sent():
    error = wrong("a", got=lambda: 0, allowed="a number", do="a=1")
    assert pickle.loads(pickle.dumps(error)).got.startswith("<function")


def test_a_mistake_is_put_under_a_key_and_gets_more_at_its_end():
    error = wrong("floor", got=2, allowed="0 to 1", do="floor=0.01", kind=WrongArgument)
    under = error.under("scheduler")
    assert str(under) == "scheduler: floor: got 2; allowed: 0 to 1; do: floor=0.01"
    assert parts(under) == ("scheduler: floor", "2", "0 to 1", "floor=0.01")
    more = wrong("file", got="x", allowed="room", do="make room", kind=Refused).adding("saved: y")
    assert type(more) is Refused
    assert str(more) == "file: got x; allowed: room; do: make room; saved: y"
    assert more.do == "make room; saved: y"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_which_only_the_text_is_known_can_do_the_same(kind):
    error = kind("only a text")
    assert parts(error) == (None, None, None, None)
    assert error.complaint == "only a text"
    assert str(error.under("rank 1")) == "rank 1: only a text"
    assert str(error.adding("more")) == "only a text; more"
    assert type(error.adding("more")) is kind
    assert str(pickle.loads(pickle.dumps(error))) == "only a text"


class Failing(Dataset):
    """A data set whose every image is a mistake, each of another kind."""

    def __len__(self):
        return len(KINDS)

    def __getitem__(self, index):
        raise wrong("data", got=f"image {index}", allowed="an image: any", do="mend it", kind=KINDS[index])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_loaders_worker_arrives_without_the_workers_traceback(workers):
    images = iter(DataLoader(Failing(), num_workers=workers))
    for index, kind in enumerate(KINDS):
        with pytest.raises(kind) as raised:
            next(images)
        read = as_raised(raised.value, DataError)
        assert type(read) is DataError
        assert str(read) == f"data: got image {index}; allowed: an image: any; do: mend it"
        assert read.key == (None if workers else "data")  # torch hands on a text
    end(images)


def test_an_argument_of_a_schedule_is_a_value_error_to_python_and_a_mistake_to_a_user():
    with pytest.raises(ValueError, match=r"^floor: got 2; allowed: 0 to 1") as raised:
        cosine(0, total=4, floor=2)
    assert isinstance(raised.value, UserError)
    assert parts(raised.value)[:2] == ("floor", "2")


def raising(error):
    def function():
        raise error

    return function


def test_what_a_schedule_says_gets_the_key_in_front_and_other_mistakes_have_theirs():
    argument = wrong("floor", got=2, allowed="0 to 1", do="floor=0.01", kind=WrongArgument)
    with pytest.raises(UserError, match=r"^scheduler: floor: got 2; allowed: 0 to 1; do: floor=0\.01$"):
        checks.call("scheduler", "it", raising(argument))
    setting = wrong("scheduler.mode", got=2, allowed="min, max", do="scheduler.mode=min")
    with pytest.raises(UserError, match=r"^scheduler\.mode: got 2") as raised:
        checks.call("scheduler", "it", raising(setting))
    assert raised.value is setting


def test_what_caused_a_mistake_stays_known():
    mistake = wrong("a", got=1, allowed="2", do="a=2")
    mistake.__cause__ = OSError("the disk")
    with pytest.raises(UserError) as raised:
        checks.call("scheduler", "it", raising(mistake))
    assert isinstance(raised.value.__cause__, OSError)


def test_a_text_that_looks_like_three_parts_is_no_mistake_of_ours():
    with pytest.raises(UserError, match=r"^model: got settings with which it fails \(ValueError: x: got 1; allowed: "):
        checks.call("model", "it", raising(ValueError("x: got 1; allowed: 2; do: x=2")))


@pytest.mark.parametrize("depth", [1, 2])
def test_a_mistake_that_other_libraries_have_wrapped_is_found_and_has_no_circle_of_causes(depth):
    mistake = wrong("a", got=1, allowed="2", do="a=2")
    error = mistake
    for _ in range(depth):
        outer = RuntimeError("in call to something")
        outer.__cause__ = error
        error = outer
    with pytest.raises(UserError, match=r"^a: got 1; allowed: 2; do: a=2$") as raised:
        checks.call("scheduler", "it", raising(error))
    assert checks.cause(raised.value) == "UserError: a: got 1; allowed: 2; do: a=2"


def test_only_one_place_makes_or_looks_for_the_text_of_three_parts():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "allowed: " in node.value
    ]
    assert {place.partition(":")[0] for place in found} == {"errors.py"}, found


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("AdamW", "adamw"), ("SGD", "sgd"), ("StepLR", "step"), ("CosineAnnealingLR", "cosine")),
        *(("ReduceLROnPlateau", "plateau"), ("cosin", "cosine"), ("xyz", None), ("adam_w", "adamw")),
    ],
)
def test_a_class_of_torchs_is_taken_for_the_option_that_it_holds(typed, meant):
    assert closest(typed, ["adam", "adamw", "sgd", "step", "multistep", "cosine", "cosine_bounce", "plateau"]) == meant
