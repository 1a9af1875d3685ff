"""Imports point down: the table of rooms, held by a walk over the import statements."""

import ast
from pathlib import Path

import lrlab

PACKAGE = Path(lrlab.__file__).parent
LAYERS = [
    {"__init__", "errors", "schedules", "horizon", "folders"},  # the standard library
    {"randomness", "data", "batches", "models", "metrics", "checkpoint", "tracking", "plan", "summary", "signals"},
    {"trainer"},
    {"compose", "checks", "settings", "build", "prepare", "resume", "describe", "display", "experiment"},
    {"arguments", "cli", "__main__"},
]
# What a room may import of its own layer besides; layer 3 is one shell.
SIDEWAYS = {"horizon": {"errors"}, "folders": {"errors"}, "batches": {"data", "randomness"}}
HYDRA = {"hydra", "omegaconf"}
HEAVY = {"matplotlib": set(), "tensorboard": {"tracking"}, "rich": {"display"}, "hydra": LAYERS[3] | LAYERS[4]}


def imports(room: str) -> set[str]:
    """Every module that a room imports, anywhere in it; lrlab's own as `lrlab.NAME`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{room}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "lrlab":
            found |= {f"lrlab.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_every_room_has_its_layer():
    assert {path.stem for path in PACKAGE.glob("*.py")} == set().union(*LAYERS)


def test_imports_point_down():
    for level, rooms in enumerate(LAYERS):
        below = set().union(*LAYERS[:level])
        for room in rooms:
            own = {name.split(".")[1] for name in imports(room) if name.startswith("lrlab.")}
            beside = rooms if level >= 3 else SIDEWAYS.get(room, set())
            assert own <= below | beside, f"{room} imports {own - below - beside}"


def test_only_the_shell_sees_a_config():
    for room in set().union(*LAYERS[:3]):
        assert not {name.split(".")[0] for name in imports(room)} & HYDRA, room


def test_the_bottom_needs_nothing_but_the_standard_library():
    import sys

    for room in LAYERS[0]:
        others = {name.split(".")[0] for name in imports(room)} - set(sys.stdlib_module_names) - {"lrlab"}
        assert not others, f"{room} imports {others}"


def test_heavy_packages_are_imported_in_one_room_only():
    for package, rooms in HEAVY.items():
        users = {room for room in set().union(*LAYERS) if package in {name.split(".")[0] for name in imports(room)}}
        assert users <= rooms, f"{package} is imported by {users - rooms}"


def test_nothing_below_the_shell_prints():
    for room in set().union(*LAYERS[:3]):
        calls = [
            node for node in ast.walk(ast.parse((PACKAGE / f"{room}.py").read_text())) if isinstance(node, ast.Call)
        ]
        assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], room
