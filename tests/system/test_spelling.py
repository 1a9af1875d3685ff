"""Every command that is printed is spelled as the one that was typed."""

import shlex

import pytest

from lrlab.system import spelling

SCRIPT = "python train.py"
PRINTED = [
    (spelling.MODULE, "completion", "python -m lrlab completion"),
    (SCRIPT, "completion", "python -m lrlab completion"),
    (spelling.INSTALLED, "train", "lrlab train"),
    (spelling.INSTALLED, "sweep", "lrlab sweep"),
    (spelling.INSTALLED, "find-lr", "lrlab find-lr"),
    (spelling.MODULE, "train", "python -m lrlab"),
    (spelling.MODULE, "sweep", "python -m lrlab -m"),
    (spelling.MODULE, "find-lr", "python -m lrlab find-lr"),
    (spelling.NAMED, "train", "python -m lrlab train"),
    (spelling.NAMED, "sweep", "python -m lrlab sweep"),
    (spelling.NAMED, "find-lr", "python -m lrlab find-lr"),
    (spelling.DOOR, "train", "python -m lrlab"),
    (spelling.DOOR, "sweep", "python -m lrlab -m"),
    (spelling.DOOR, "find-lr", "python -m lrlab.find_lr"),
    (SCRIPT, "train", "python train.py"),
    (SCRIPT, "sweep", "python train.py -m"),
    (SCRIPT, "compare", "python -m lrlab.compare"),
]
ON_RANKS = [
    (spelling.INSTALLED, "train", "torchrun --nproc-per-node=2 --no-python lrlab train"),
    (spelling.MODULE, "sweep", "torchrun --nproc-per-node=2 -m lrlab -m"),
    (SCRIPT, "train", "torchrun --nproc-per-node=2 train.py"),
    (SCRIPT, "preview", "python -m lrlab.preview"),
]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setenv(spelling._VARIABLE, "")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("how", "name", "printed"), PRINTED)
def test_a_command_is_spelled_as_the_one_that_was_typed(how, name, printed):
    spelling.say(how)
    assert spelling.command(name) == printed


@pytest.mark.parametrize(("how", "name", "printed"), ON_RANKS)
def test_a_command_of_several_ranks_begins_with_torchrun(how, name, printed, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    spelling.say(how)
    assert spelling.command(name) == printed


def test_a_notebook_that_nobody_started_is_told_the_installed_command(monkeypatch):
    monkeypatch.delenv(spelling._VARIABLE)
    assert spelling.command("train") == "lrlab train"


def test_one_run_becomes_a_sweep_by_another_command_or_by_an_option():
    spelling.say(spelling.INSTALLED)
    assert spelling.as_a_sweep() == "say lrlab sweep"
    spelling.say(SCRIPT)
    assert spelling.as_a_sweep() == "add -m"


def test_a_script_in_the_current_folder_is_named_without_the_way_to_it(tmp_path):
    assert spelling.script(str(tmp_path / "train.py")) == "python train.py"
    assert spelling.script("/somewhere else/train.py") == "python '/somewhere else/train.py'"


@pytest.mark.parametrize(
    ("argument", "printed"),
    [
        ("seed=1", "seed=1"),
        ("data.root=a b", "'data.root=a b'"),
        ("data.root='a=b'", "\"data.root='a=b'\""),
        ("it's", '"it\'s"'),
        ("", "''"),
        ("'$x'", None),
        ("'a!'", None),
        ("'a`b'", None),
        ('"\'"', None),
        ("'a\\'b'", None),
    ],
)
def test_what_is_printed_to_be_typed_is_read_by_a_shell_as_it_was(argument, printed):
    assert shlex.split(spelling.typed([argument, "seed=2"])) == [argument, "seed=2"]
    assert printed is None or spelling.typed([argument]) == printed
