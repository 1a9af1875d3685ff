"""`import lrlab`: what it offers, what it costs, and that a door is a function whichever was imported first."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

import lrlab
from lrlab.api.schedule_makers import NAMES

FUNCTIONS = {
    "schedule",
    "schedule_names",
    "preview",
    "check",
    "watch",
    "train",
    "sweep",
    "compare",
    "find_lr",
    "predict",
    "advise",
    "to_keras",
    "to_optax",
    "to_timm",
    "to_transformers",
    "from_timm",
    "from_transformers",
}
CLASSES = {
    "Advice",
    "Compared",
    "ComparedStudy",
    "Curve",
    "Curves",
    "Findings",
    "FoundLR",
    "NamedSchedule",
    "Predictions",
    "Run",
    "Runs",
    "Schedule",
    "ScheduleWarning",
    "UserError",
    "Watch",
}
NEED_OTHERS = {name for name in FUNCTIONS if name.startswith(("to_", "from_"))}


def python(*lines: str) -> str:
    """What a new Python process prints."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names_are_these():
    schedules = {*NAMES} - {"lambda"}
    assert {*dir(lrlab)} == FUNCTIONS | CLASSES | schedules | {"schedules", "__version__"}


@pytest.mark.parametrize("name", sorted((FUNCTIONS | CLASSES) - NEED_OTHERS))
def test_a_public_name_is_documented_and_typed(name):
    found = getattr(lrlab, name)
    called = getattr(found, "__wrapped__", found)
    assert inspect.getdoc(called)
    if name in FUNCTIONS:
        signature = inspect.signature(called)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(one.annotation is not one.empty for one in signature.parameters.values())


def test_type_checkers_see_what_there_is():
    tree = ast.parse((Path(lrlab.__file__)).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    seen |= {ast.unparse(node.target) for node in block.body if isinstance(node, ast.AnnAssign)}
    assert seen == {*dir(lrlab)} - {"schedules", "__version__"}
    assert (Path(lrlab.__file__).parent / "py.typed").is_file()


def test_no_public_function_is_hidden_by_a_module():
    package = Path(lrlab.__file__).parent
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    doors = {"advise", "compare", "find_lr", "predict", "preview"}
    assert modules & {*dir(lrlab)} - {"schedules"} == doors


LATER = "import lrlab; lrlab.{0}; import lrlab.{0}"
ALONE = "import lrlab"


@pytest.mark.slow
@pytest.mark.parametrize("order", ["import lrlab, lrlab.{0}", LATER, ALONE])
def test_a_door_is_called_as_its_function_whichever_came_first(order):
    names = ("preview", "compare", "find_lr", "predict", "advise")
    said = python(
        "import importlib, inspect",
        *(order.format(name) for name in names),
        f"for name in {names}:",
        "    door = importlib.import_module(f'lrlab.{name}')",
        "    assert callable(getattr(lrlab, name)) and callable(door.main), name",
        "    assert inspect.signature(getattr(lrlab, name)).parameters, name",
        "print(lrlab.preview('constant', lr=0.1, epochs=2)[0].values())",
    )
    assert said == "[0.1, 0.1]"


def test_importing_lrlab_takes_no_torch_and_no_hydra():
    said = python(
        "import lrlab, sys",
        "lr = lrlab.schedule('wsd', lr=0.1, epochs=20, steps_per_epoch=469, decay='20%')(37)",
        "print({'torch', 'hydra', 'numpy', 'matplotlib', 'omegaconf'} & sys.modules.keys(), lr == lrlab.wsd(lr=0.1, "
        "total_steps=9380)(37))",
    )
    assert said == "set() True"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'plateau'"):
        _ = lrlab.plateau  # type: ignore[attr-defined]
