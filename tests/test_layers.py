"""Imports point down: the table of rooms, held by a walk over the import statements."""

import ast
from pathlib import Path

import lrlab

PACKAGE = Path(lrlab.__file__).parent
LAYERS = [
    {
        *("__init__", "errors", "schedules", "horizon", "folders", "terminal", "allocator"),
        *("disk", "sealed", "secrecy"),
    },  # the standard library
    {
        *("randomness", "distributed", "data", "datasets", "augmentation", "placement", "cache", "sources"),
        *("batches", "models", "metrics"),
        *("precision", "checkpoint", "tracking", "summary", "signals"),
        *("hyperparameters", "plan", "audit", "chains", "greedy", "figures", "results", "inference"),
    },
    {"trainer", "range_test", "candidates", "verdicts", "comparison"},
    {
        *("compose", "checks", "settings", "groups", "build", "scheduling", "lint"),
        *("prepare", "resume", "describe", "display", "training", "experiment"),
        *("jobs", "workers", "ray_cluster", "board", "sweep", "launcher", "report", "trust"),
    },
    {"arguments", "fitting", "cli", "multirun", "preview", "find_lr", "compare", "plugins", "__main__"},
]
# What a room may import of its own layer besides; layer 3 is one shell.
SIDEWAYS = {
    "horizon": {"errors"},
    "folders": {"errors", "secrecy"},
    "disk": {"errors"},
    "sealed": {"disk"},
    "datasets": {"data"},
    "augmentation": {"randomness"},
    "placement": {"data", "distributed", "randomness"},
    "cache": {"data", "placement", "randomness", "signals"},
    "sources": {"data", "cache", "randomness", "signals"},
    "batches": {"data", "augmentation", "placement", "cache", "sources", "randomness"},
    "metrics": {"distributed"},
    "range_test": {"trainer"},
    "distributed": {"signals"},
    "plan": {"hyperparameters"},
    "audit": {"plan"},
    "results": {"checkpoint", "summary"},
    "verdicts": {"candidates"},
    "comparison": {"candidates", "verdicts"},
}
HYDRA = {"hydra", "omegaconf"}
HEAVY = {
    "matplotlib": {"figures"},
    "tensorboard": {"tracking"},
    "rich": {"display", "board", "preview"},
    "scipy": {"inference"},
    "jinja2": {"report"},
    "ray": {"ray_cluster"},
    "hydra": LAYERS[3] | LAYERS[4],
}


def nodes(room: str) -> list[ast.AST]:
    """The syntax tree of a room: a file, or a package's files."""
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    return [node for file in files for node in ast.walk(ast.parse(file.read_text()))]


def imports(room: str) -> set[str]:
    """Every module that a room imports, anywhere in it; lrlab's own as `lrlab.NAME`."""
    found: set[str] = set()
    for node in nodes(room):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "lrlab":
            found |= {f"lrlab.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_every_room_has_its_layer():
    packages = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/*.py")}
    files = {path.stem for path in PACKAGE.glob("*.py")} | packages
    assert files == set().union(*LAYERS)


def test_imports_point_down():
    for level, rooms in enumerate(LAYERS):
        below = set().union(*LAYERS[:level])
        for room in rooms:
            own = {name.split(".")[1] for name in imports(room) if name.startswith("lrlab.")} - {room}
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
        calls = [node for node in nodes(room) if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], room
