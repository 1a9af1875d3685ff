"""Imports point down, package by package: the table of floors, held by a walk over the import statements.

A file of the package, such as `models`, is a floor's room like a package. No floor is free: what stands on one floor
may not import its neighbours, and modules inside of a package may not import each other in a circle.
"""

import ast
import functools
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lrlab

PACKAGE = Path(lrlab.__file__).parent
FLOORS = [
    {"doors", "errors", "moved", "words"},
    {"schedules"},
    {"lr", "system", "models", "language_models", "optimizers"},
    {"forecast", "published_models"},
    {"data", "drawing"},
    {"training"},
    {"stacking"},
    {"config"},
    {"runs"},
    {"comparison"},
    {"sweeps"},
    {"api"},
    {"commands", "integrations"},
    # Doors: what Python, Hydra or a user's old import enters by. Each leads to one room, and nobody imports a door.
    {
        "__main__",
        "plugins",
        "preview",
        "find_lr",
        "compare",
        "evaluate",
        "study",
        "noise",
        "cooldown",
        "predict",
        "advise",
    }
    | {"datasets", "greedy", "chains"},
]
# Who may import what a text names: commands by what was typed, and old names, which lead to their new places.
BY_TEXT = {"commands.main", "commands.completion", "doors", "moved"}
HYDRA = {"config", "runs", "sweeps", "api", "commands", "integrations", "plugins"}  # who may know Hydra and omegaconf
PRINTS = {"runs", "sweeps", "commands"}
ONE_ROOM = {
    "matplotlib": {"drawing.figures", "drawing.panels"},
    "tensorboard": {"runs.event_file", "runs.tracking", "comparison.event_files"},
    "rich": {
        "api.progress",
        "runs.display",
        "sweeps.table",
        "commands.preview_curves",
        "commands.preview_terminal",
        "system.streams",
    },
    "scipy": {"comparison.statistics", "comparison.sequential", "forecast.fit", "forecast.laws", "forecast.shapes"},
    "sklearn": set(),  # only its file of digits is read
    "jinja2": {"comparison.report"},
    "yaml": {"comparison.results", "config.catalogue"},
    "ray": {"sweeps.ray", "sweeps.ray_worker"},
}


def modules(package: Path) -> dict[str, Path]:
    """Every module by its name below `lrlab`: `data.batches`, `models`, and `data` for a package itself."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def imports(path: Path) -> set[str]:
    """The full names that a module imports, anywhere in it: `lrlab.data.store`, `lrlab.data.splits.Splits`, `torch`.

    What is reached through the package itself, `import lrlab` and then `lrlab.data.store`, is imported as well.
    """
    inside = path.parts[len(path.parts) - path.parts[::-1].index("lrlab") - 1 :]
    return _imports(Path(*inside), path.read_text())


@functools.cache
def _imports(path: Path, text: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{origin(node, path)}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and _first_name(node) == "lrlab":
            found.add(ast.unparse(node))
    return found


def _first_name(node: ast.Attribute) -> str | None:
    """What stands before the first dot."""
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    return inner.id if isinstance(inner, ast.Name) else None


def imports_by_text(path: Path) -> list[str]:
    """The calls in a module that import what a text names, which no walk over import statements sees."""
    return _imports_by_text(path.read_text())


@functools.cache
def _imports_by_text(text: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    called = [ast.unparse(call.func).rpartition(".")[2] for call in calls]
    return [name for name in called if name in ("import_module", "__import__")]


def origin(node: ast.ImportFrom, path: Path) -> str:
    """The full name of the module or package that a `from ... import` names, also where it begins with dots."""
    if not node.level:
        return str(node.module)
    place = path.parts[: -node.level]
    inside = place[len(place) - place[::-1].index("lrlab") - 1 :]
    return ".".join([*inside, *([node.module] if node.module else [])])


def imported_modules(path: Path, known: dict[str, Path]) -> set[str]:
    """Which of the `known` modules of lrlab a module imports."""
    names = {name.removeprefix("lrlab.") for name in imports(path) if name.startswith("lrlab.")}
    return {name if name in known else name.rpartition(".")[0] for name in names} & known.keys()


def room(module: str) -> str:
    return module.partition(".")[0]


def faults(package: Path) -> Iterator[str]:
    """Every import that does not point down, and every circle inside of a package."""
    known = modules(package)
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    inside: dict[str, set[str]] = {}
    for module, path in known.items():
        if room(module) not in floor:
            yield f"{module} stands on no floor"
            continue
        wanted = imported_modules(path, known)
        for other in sorted(wanted):
            if room(other) != room(module) and floor.get(room(other), len(FLOORS)) >= floor[room(module)]:
                yield f"{module} imports {other}"
        if module not in BY_TEXT and imports_by_text(path):
            yield f"{module} imports by a text"
        inside[module] = {other for other in wanted if room(other) == room(module) and other != module}
    yield from circles(inside)


def circles(edges: dict[str, set[str]]) -> Iterator[str]:
    """A circle for each module that reaches itself."""
    for start, first in edges.items():
        seen, waiting = set(), [*first]
        while waiting:
            module = waiting.pop()
            if module == start:
                yield f"{start} imports itself in a circle"
                break
            if module not in seen:
                seen.add(module)
                waiting += edges.get(module, ())


def test_imports_point_down_and_never_in_a_circle():
    assert list(faults(PACKAGE)) == []


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("config/checks.py", "from lrlab.sweeps import table", "config.checks imports sweeps.table"),
        ("data/splits.py", "import lrlab.training.loop", "data.splits imports training.loop"),
        ("lr/horizon.py", "from lrlab.system.disk import write_whole", "lr.horizon imports system.disk"),
        ("drawing/figures.py", "def late():\n    from lrlab.data import Splits", "drawing.figures imports data"),
        ("errors.py", "from lrlab import models", "errors imports models"),
        ("lr/horizon.py", "from lrlab.lr import plan", "lr.horizon imports itself in a circle"),
        ("runs/run.py", "from lrlab import compare", "runs.run imports compare"),
        ("config/checks.py", "from ..sweeps import table", "config.checks imports sweeps.table"),
        ("config/checks.py", "from .. import sweeps", "config.checks imports sweeps"),
        ("lr/horizon.py", "from . import plan", "lr.horizon imports itself in a circle"),
        ("config/checks.py", "import lrlab\nlrlab.sweeps.table.Board", "config.checks imports sweeps.table"),
        ("config/checks.py", "from importlib import import_module\nimport_module('lrlab.sweeps')", "by a text"),
        ("data/splits.py", "import importlib\nimportlib.import_module('lrlab.training')", "by a text"),
        ("data/splits.py", "__import__('lrlab.training')", "data.splits imports by a text"),
        ("utils.py", "", "utils stands on no floor"),
    ],
)
def test_an_import_that_must_not_be_is_found(tmp_path, module, line, said):
    copy = tmp_path / "lrlab"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / module).open("a") as file:
        file.write(f"\n{line}\n")
    assert any(fault.endswith(said) for fault in faults(copy))


def test_every_floor_is_inhabited():
    assert {room(module) for module in modules(PACKAGE)} == set().union(*FLOORS)


def test_only_upper_floors_see_a_config():
    for module, path in modules(PACKAGE).items():
        known = {name.partition(".")[0] for name in imports(path)} & {"hydra", "omegaconf"}
        assert not known or room(module) in HYDRA, module


def test_private_parts_of_hydra_are_used_in_one_room():
    users = {module for module, path in modules(PACKAGE).items() if "hydra._internal" in "\n".join(imports(path))}
    assert users == {"config.hydra_inside"}


def test_the_lowest_floors_need_nothing_but_the_standard_library():
    for module, path in modules(PACKAGE).items():
        if room(module) in FLOORS[0] | FLOORS[1]:
            others = {name.partition(".")[0] for name in imports(path)} - {*sys.stdlib_module_names, "lrlab"}
            assert not others, f"{module} imports {others}"


@pytest.mark.parametrize("package", ONE_ROOM)
def test_a_heavy_package_is_imported_in_its_rooms_only(package):
    users = set()
    for module, path in modules(PACKAGE).items():
        names = [name.removeprefix("torch.utils.") for name in imports(path)]  # torch has a TensorBoard writer too
        if package in {name.partition(".")[0] for name in names}:
            users.add(module)
    assert users == ONE_ROOM[package]


def test_nothing_below_the_shell_prints():
    for module, path in modules(PACKAGE).items():
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing or room(module) in PRINTS, module


def test_no_two_modules_give_one_name_to_two_kinds_of_things():
    places: dict[str, set[str]] = {}
    for module, path in modules(PACKAGE).items():
        for name in kinds(ast.parse(path.read_text())):
            places.setdefault(name, set()).add(module)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


def kinds(tree: ast.Module) -> Iterator[str]:
    """The public classes of a module, and the public names that it gives to types."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from [node.name] if not node.name.startswith("_") else []
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            yield from [name] if name[0].isupper() and not name.isupper() else []


def test_a_line_does_one_thing():
    """No conditional expression inside of another, and one `for` and one `if` in a comprehension."""
    for module, path in modules(PACKAGE).items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.IfExp):
                inner = [child for child in ast.walk(node) if isinstance(child, ast.IfExp)]
                assert len(inner) == 1, f"{module}, line {node.lineno}"
            if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                conditions = sum(len(one.ifs) for one in node.generators)
                assert len(node.generators) == 1, f"{module}, line {node.lineno}"
                assert conditions <= 1, f"{module}, line {node.lineno}"


# Who else may open a file to write: torchrun names the file in which a rank leaves its error; the images of a data set
# are written through a mapping; Ray's files go to the machine of a worker, which has none of its own; and output goes
# to the streams of the process, which are no files that it opens.
WRITERS = {"system.disk", "system.memory", "system.peers", "system.streams", "data.files", "sweeps.ray_worker"}


def test_one_room_opens_files_to_write():
    for module, path in modules(PACKAGE).items():
        if module not in WRITERS:
            assert not [ast.unparse(call) for call in writing_calls(ast.parse(path.read_text()))], module


def writing_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls that write a file themselves, or open one to write."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            given = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
            to_write = any(isinstance(mode, str) and re.fullmatch("[rbt]*[wax+][rwabt+]*", mode) for mode in given)
            opens = called in ("open", "fdopen", "FileHandler") and to_write
            if opens or called in ("write_text", "write_bytes", "NamedTemporaryFile", "mkstemp"):
                yield node
