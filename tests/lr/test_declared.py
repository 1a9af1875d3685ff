"""Every number that a schedule takes is declared as a length or a level, so that a new one cannot be forgotten."""

import inspect
import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import torch
import yaml
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from lrlab import schedules
from lrlab.config.catalogue import CONF
from lrlab.lr import declared, torch_composites
from lrlab.lr.greedy import GreedyLR
from lrlab.lr.horizon import is_meant_as_duration
from lrlab.schedules.lengths import (
    NEVER_COMES,
    NEVER_ENDS,
    NEVER_RUNS_OUT,
    Counts,
    Knot,
    Length,
    Level,
    Mark,
    Moment,
    Plain,
    Way,
    counts,
    marked,
    parameters_of,
)

OURS = [*(getattr(schedules, name) for name in schedules.__all__), GreedyLR]
OURS += [torch_composites.sequential, torch_composites.chained]
TORCHS = [
    one
    for one in vars(lr_scheduler).values()
    if inspect.isclass(one) and issubclass(one, lr_scheduler.LRScheduler) and one.__module__ == lr_scheduler.__name__
]
NODES = sorted((CONF / "scheduler").glob("*.yaml"))


def undeclared(annotation: Any, known: bool = False) -> bool:
    """Whether an annotation has a number, at any depth, without a mark."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return undeclared(inner, known or any(isinstance(one, Mark) for one in metadata))
    if annotation in (int, float):
        return not known
    if getattr(annotation, "__name__", "") == "Callable" or get_origin(annotation) is Mapping:
        return False
    if get_origin(annotation) and "Callable" in str(get_origin(annotation)):
        return False
    return any(undeclared(one, known) for one in get_args(annotation))


def names_a_number(parameter: inspect.Parameter) -> bool:
    """Whether a parameter of torch's takes a number, as its annotation or its default says."""
    words = set(re.findall(r"\w+", str(parameter.annotation)))
    if words & {"Callable", "Literal", "bool", "str"}:
        return False
    is_number = isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)
    return is_number or bool(words & {"int", "float"})


@pytest.mark.parametrize("schedule", OURS, ids=lambda schedule: schedule.__name__)
def test_every_number_of_every_schedule_of_ours_is_declared(schedule):
    own = [one for name, one in parameters_of(schedule).items() if name not in ("t", "optimizer")]
    assert [one.name for one in own if undeclared(one.annotation)] == []


def test_a_schedule_with_an_undeclared_number_is_noticed():
    def forgetful(t: float, *, total: Way, rate: float, knots: Sequence[tuple[Knot, float]], name: str) -> float:
        return t * total * rate * len(knots) * len(name)

    names = [one.name for one in parameters_of(forgetful).values() if undeclared(one.annotation)]
    assert names == ["t", "rate", "knots"]


@pytest.mark.parametrize("scheduler", [*TORCHS, SWALR], ids=lambda scheduler: scheduler.__name__)
def test_every_number_of_every_scheduler_of_torchs_is_in_the_table(scheduler):
    parameters = inspect.signature(scheduler).parameters
    numbers = {name for name, one in parameters.items() if names_a_number(one)} - {"optimizer", "last_epoch"}
    table = declared.of_torch().get(scheduler, {})
    assert numbers == set(table) & set(parameters) == set(table)
    assert not any(undeclared(annotation) for annotation in table.values())


def test_torchs_schedulers_are_found():
    assert len(TORCHS) >= 15
    assert set(declared.of_torch()) <= {*TORCHS, SWALR}


def nodes(value, path):
    """Every node with a `_target_` in a YAML, with its path."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield path, value
        for name, part in value.items():
            yield from nodes(part, f"{path}.{name}")


def leaves(value):
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part)]
    return [] if isinstance(value, dict | bool) or value is None else [value]


@pytest.mark.parametrize("path", NODES, ids=lambda path: path.stem)
def test_every_number_and_duration_in_every_yaml_is_declared(path):
    for where, node in nodes(yaml.safe_load(path.read_text()), "scheduler"):
        found = declared.declared_in(node)
        for name, value in node.items():
            for leaf in leaves(value):
                if isinstance(leaf, int | float) or is_meant_as_duration(leaf):
                    marks = [mark for part, mark in marked(value, found.get(name)) if part == leaf]
                    assert marks, f"{where}.{name}"
                    if isinstance(leaf, str):
                        assert all(isinstance(mark, Counts) for mark in marks), f"{where}.{name}: {leaf} is a level"


def test_a_class_that_inherits_the_init_of_torchs_has_its_parameters_and_another_has_its_own():
    class Same(lr_scheduler.StepLR):
        def get_lr(self):
            return super().get_lr()

    class Other(lr_scheduler.StepLR):
        def __init__(self, optimizer: torch.optim.Optimizer, wait: Length, step_size: int):
            super().__init__(optimizer, step_size + int(wait))

    assert declared.declared(Same) is declared.of_torch()[lr_scheduler.StepLR]
    found = declared.declared(Other)
    assert found["wait"] == Length
    assert [*marked(5, found["step_size"])] == []


def third_party(optimizer, wait: "Length", step_size: int = 3, gamma="0.5"):
    """A scheduler of somebody else's, of which only the signature is read."""


def broken(optimizer, wait: "NotThere", until: "Length", step_size=3):  # noqa: F821
    """One whose signature names what is not there."""


def test_third_parties_may_declare_theirs_and_what_nobody_declared_is_neither():
    assert [*marked("25%", declared.declared(third_party)["wait"])] == [("25%", Counts())]
    assert [*marked(3, declared.declared(third_party)["step_size"])] == []
    assert [*marked("25%", declared.declared(broken)["wait"])] == []
    assert [*marked("25%", declared.declared(broken)["until"])] == [("25%", Counts())]
    assert declared.declared(len) == {"obj": inspect.Parameter.empty}


@pytest.mark.parametrize("node", [{}, {"_target_": 3}, {"_target_": "no.such.Thing"}, {"_target_": "torch"}])
def test_a_node_whose_target_is_none_declares_nothing(node):
    assert declared.declared_in(node) == {}


KNOT, MOMENT = (get_args(one)[1] for one in (Knot, Moment))


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("25%", Length, [("25%", Counts())]),
        (None, Length | None, [(None, Counts())]),
        (0.5, Level, [(0.5, Plain())]),
        (["1ep", 3], Sequence[Moment], [("1ep", MOMENT), (3, MOMENT)]),
        ("1ep", Sequence[Moment], [("1ep", MOMENT)]),  # the missing brackets are somebody else's complaint
        (["1ep"], tuple[Moment, ...] | list[Moment], [("1ep", MOMENT)]),
        ([0.1, 0.2], Level | Sequence[Level], [(0.1, Plain()), (0.2, Plain())]),
        (0.1, Level | Sequence[Level], [(0.1, Plain())]),
        ([["50%", 0.1]], Sequence[tuple[Knot, Level]], [("50%", KNOT), (0.1, Plain())]),
        ([[0, 1.0, 2], 3], Sequence[tuple[Knot, Level]], []),  # no pairs
        ([1, 2], Annotated[list[float], Counts(least=0)], [(1, Counts(least=0)), (2, Counts(least=0))]),
        (3, float, []),
        (3, None, []),
        ("x", Annotated[str, "a comment"], []),
        (3, Annotated[float, "a comment"], []),
        (3, Annotated[Length, "a comment"], [(3, Counts())]),
        (3, Union[Length, str], [(3, Counts())]),  # noqa: UP007  # as torch writes it
    ],
)
def test_a_declaration_is_followed_into_lists_pairs_and_alternatives(value, annotation, expected):
    assert [*marked(value, annotation)] == expected


def test_only_whole_numbers_are_counts():
    assert [*counts([3, True, "25%", 2.5, None], Sequence[Moment])] == [(3, MOMENT)]


def test_what_is_too_long_for_a_run_is_declared_in_one_of_three_ways():
    marks = {mark for table in declared.of_torch().values() for one in table.values() for mark in marks_in(one)}
    marks |= {
        mark for one in OURS for parameter in parameters_of(one).values() for mark in marks_in(parameter.annotation)
    }
    assert {mark.beyond for mark in marks if isinstance(mark, Counts)} == {
        None,
        NEVER_COMES,
        NEVER_ENDS,
        NEVER_RUNS_OUT,
    }


def marks_in(annotation):
    if get_origin(annotation) is Annotated:
        return [one for one in get_args(annotation)[1:] if isinstance(one, Mark)]
    if isinstance(annotation, UnionType) or get_args(annotation):
        return [mark for one in get_args(annotation) for mark in marks_in(one)]
    return []
