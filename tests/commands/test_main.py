"""`lrlab` and its spellings: which command is started, what is said where none is, and how it is printed again."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from forked import wait_for
from support import ROOT, summary

import lrlab
from lrlab.commands import compare, cooldown, find_lr, main, preview, train
from lrlab.config import compose
from lrlab.system import spelling

SMALL = ("data=fake", "data.train_images=64", "data.val_images=20", "data.image_size=8", "model=linear")
ONE = (*SMALL, "trainer.epochs=1")
SPELLINGS = {"lrlab train": (main.main, "train"), "python -m lrlab": (main.module,), "python train.py": (train.main,)}


def test_lrlab_alone_and_help_list_every_command(enter):
    alone, asked = enter(main.main), enter(main.main, "--help")
    assert (alone.code, alone.err) == (0, "")
    assert alone.out == asked.out
    for name in main.COMMANDS:
        assert f"\nlrlab {name}  " in alone.out


@pytest.mark.parametrize("typed", [(main.main,), (main.main, "train"), (main.main, "compare"), (train.main,)])
def test_version_is_lrlabs_own(enter, typed):
    assert enter(*typed, "--version").out == f"lrlab {lrlab.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (
            ("trian", "seed=1"),
            r"got 'trian' \(did you mean train\?\); allowed: train, sweep, .*; do: lrlab train seed=1",
        ),
        (("find_lr",), r"got 'find_lr' \(did you mean find-lr\?\); allowed: train, .*; do: lrlab find-lr"),
        (("scheduler=a b",), r"got 'scheduler=a b' \(did you mean train\?\); .*; do: lrlab train 'scheduler=a b'"),
        (("-m", "seed=0,1"), r"got '-m' \(did you mean sweep\?\); allowed: train, .*; do: lrlab sweep seed=0,1"),
        (
            ("quux",),
            r"got 'quux'; allowed: train, sweep, cooldown, preview, find-lr, advise, .*, completion; do: lrlab --help",
        ),
    ],
)
def test_what_is_no_command_is_one_line_with_a_guess(enter, typed, line):
    outcome = enter(main.main, *typed)
    assert outcome.code == 1
    assert re.fullmatch(rf"lrlab: error: command: {line}\n", outcome.err), outcome.err


def test_a_mistyped_command_of_the_module_is_told_too(enter):
    outcome = enter(main.module, "previw", "scheduler=step")
    assert outcome.code == 1
    assert "got 'previw' (did you mean preview?)" in outcome.err
    assert outcome.err.endswith("; do: python -m lrlab preview scheduler=step\n")


@pytest.mark.parametrize("how", SPELLINGS)
def test_every_spelling_trains_and_prints_itself(enter, how, tmp_path):
    outcome = enter(*SPELLINGS[how], *ONE)
    assert (outcome.code, outcome.err) == (0, "")
    [folder] = (tmp_path / "outputs" / "runs").iterdir()
    assert summary(folder)["status"] == "finished"
    several = enter(*SPELLINGS[how], "scheduler=step,cosine")
    said = "say lrlab sweep" if how == "lrlab train" else "add -m"
    assert several.err.endswith(f"; do: {said} to run each of them\n")
    assert enter(*SPELLINGS[how], "abc").err.startswith("lrlab: error: command line: got 'abc'")


@pytest.mark.parametrize(
    ("typed", "sweep", "compares"),
    [
        ((main.main, "sweep"), "lrlab sweep", "lrlab compare"),
        pytest.param(
            (main.module, "sweep"), "python -m lrlab sweep", "python -m lrlab compare", marks=pytest.mark.slow
        ),
        pytest.param((main.module, "-m"), "python -m lrlab -m", "python -m lrlab compare", marks=pytest.mark.slow),
        ((train.main, "-m"), "python train.py -m", "python -m lrlab.compare"),
    ],
)
def test_a_sweep_is_kept_and_compared_in_the_spelling_that_began_it(enter, typed, sweep, compares, tmp_path):
    outcome = enter(*typed, *ONE, "seed=0", "sweep=study", "hydra.launcher.in_process=true")
    assert (outcome.code, outcome.err) == (0, "")
    folder = tmp_path / "outputs" / "sweeps" / "study"
    command = json.loads((folder / "sweep.json").read_text())["command"]
    assert command.startswith(f"{sweep} data=fake ")
    assert command.endswith(" sweep=study")
    assert f"more: {compares} outputs/sweeps/study\n" in outcome.out
    lines = outcome.out.splitlines()
    assert lines[0] == "sweep      1 run"
    assert lines[1].startswith("each       1 epoch; ")
    assert lines[2] == "to do      1 run, 1 update at most"
    assert enter(compare.main, "outputs/sweeps/study").code == 0
    assert f"Made by <code>{command}</code>" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("typed", "trains"),
    [
        ((main.main, "find-lr"), "lrlab train"),
        ((main.module, "find-lr"), "python -m lrlab train"),
        ((find_lr.main,), "python -m lrlab"),
    ],
)
def test_a_suggested_lr_is_tried_in_the_spelling_that_found_it(enter, typed, trains):
    outcome = enter(*typed, "model=linear", "find_lr.seeds=1", "find_lr.updates=60")
    assert outcome.code == 0, outcome.err
    assert re.search(rf"^{trains} model=linear optimizer\.lr=\S+$", outcome.out, re.MULTILINE)
    assert "of 1 seed," in outcome.out


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ((main.main, "compare", "nowhere"), "do: lrlab compare outputs/sweeps/NAME"),
        ((main.main, "compare", "compare.figures=svg"), "do: lrlab compare outputs/sweeps/NAME"),
        ((main.module, "compare", "nowhere"), "do: python -m lrlab compare outputs/sweeps/NAME"),
        ((compare.main, "nowhere"), "do: python -m lrlab.compare outputs/sweeps/NAME"),
        (
            (main.main, "sweep", "resume=x", "seed=0,1"),
            "resume: got a sweep (-m); allowed: one run at a time; do: lrlab train",
        ),
        (
            (main.module, "sweep", "resume=x", "seed=0,1"),
            "resume: got a sweep (-m); allowed: one run at a time; do: python -m lrlab train resume=PATH",
        ),
        ((main.main, "train", "scheduler.nothing=1"), "do: lrlab train --help shows all settings"),
        ((train.main, "scheduler.nothing=1"), "do: python train.py --help shows all settings"),
    ],
)
def test_a_message_says_what_to_type_in_the_same_spelling(enter, typed, says):
    outcome = enter(*typed)
    assert outcome.code == 1
    assert says in outcome.err


HELPS = [
    *((name, "lrlab", (main.main, name)) for name in main.COMMANDS),
    ("train", "python", (train.main,)),
    ("train", "python", (main.module,)),
    ("preview", "python", (preview.main,)),
    ("find-lr", "python", (find_lr.main,)),
    ("compare", "python", (compare.main,)),
    ("cooldown", "python", (cooldown.main,)),
]


@pytest.mark.parametrize(("name", "how", "typed"), HELPS)
def test_help_fits_a_terminal_and_shows_the_command_as_it_was_typed(enter, name, how, typed):
    outcome = enter(*typed, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert f"lrlab {name}" in lines[0]
    assert max(map(len, lines)) <= 79
    examples = [re.split(" {2,}", line)[1] for line in lines[2 : lines.index("", 2)]]
    assert all(example.removeprefix('eval "$(').startswith(f"{how} ") for example in examples)


@pytest.mark.parametrize("name", ["preview", "find-lr", "compare", "cooldown"])
def test_every_setting_of_a_command_is_in_its_help(enter, name):
    from lrlab.config import options

    module = {"preview": preview, "find-lr": find_lr, "compare": compare, "cooldown": cooldown}[name]
    out = enter(main.main, name, "--help").out
    for row, help in options.rows(module.COMMAND.settings, module.COMMAND.prefix):
        assert f"\n{row} " in out
        assert help


def test_the_settings_in_the_help_are_those_of_what_is_chosen(enter):
    out = enter(main.main, "train", "scheduler=wsd", "--help").out
    assert "default choice" not in out
    assert "lrlab.schedules.wsd" in out
    assert all(f"lrlab {name}" in out for name in ("train", "sweep", "preview", "find-lr", "compare"))


def test_help_lists_the_options_of_the_users_own_folder(enter, tmp_path):
    (tmp_path / "my_conf" / "model").mkdir(parents=True)
    (tmp_path / "my_conf" / "model" / "mine.yaml").write_text("_target_: my_pkg.MyNet\n")
    out = enter(main.main, "train", "--config-dir", "my_conf", "--help").out
    listed = out.partition("\nmodel: ")[2].partition("\noptimizer: ")[0]
    assert [*re.split(r",\s+", listed.strip())] == sorted(["mine", *compose.options("model")])


def test_help_and_version_import_neither_torch_nor_what_draws():
    heavy = {"torch", "torchvision", "scipy", "matplotlib", "tensorboard", "sklearn", "pandas", "jinja2"}
    helps = [["--help"], ["--version"], *([name, "--help"] for name in main.COMMANDS)]
    probe = (
        "import contextlib, io, sys\nfrom lrlab.commands import main\n"
        f"for typed in {helps}:\n    sys.argv = ['lrlab', *typed]\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n        main.main()\n"
        f"print(sorted({heavy} & sys.modules.keys()))"
    )
    assert subprocess.check_output([sys.executable, "-c", probe], text=True).splitlines()[-1] == "[]"


def test_version_needs_nothing_but_python():
    probe = (
        "import sys; from lrlab.commands import main; sys.argv = ['lrlab', '--version']; main.main()\n"
        "print(sorted({'hydra', 'omegaconf', 'yaml', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.check_output([sys.executable, "-c", probe], text=True).splitlines()[-1] == "[]"


def test_the_package_says_what_it_is():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]  # so that only lrlab/__init__.py says it
    assert project["tool"]["hatch"]["version"]["path"] == "lrlab/__init__.py"
    assert (ROOT / "lrlab" / "py.typed").is_file()
    assert project["project"]["classifiers"]
    assert project["project"]["keywords"]


@pytest.mark.slow
def test_a_stopped_sweep_and_its_runs_say_how_to_go_on_in_the_spelling_of_the_script(installed, tmp_path):
    typed = [str(installed), "sweep", *SMALL, "trainer.epochs=20000", "seed=0,1", "sweep=study"]
    process = subprocess.Popen(typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: process.poll() is not None or list(tmp_path.glob("outputs/sweeps/*/*/history.csv")))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (143, "")
    again = out[out.index("To go on:") :].splitlines()[1].strip()
    assert again == shlex.join(["lrlab", *typed[1:]])
    log = Path("outputs/sweeps/study/seed=0/train.log").read_text()
    assert log.splitlines()[-1].endswith(" lrlab train resume=outputs/sweeps/study/seed=0")


def test_a_script_elsewhere_is_named_as_it_was_typed(monkeypatch):
    started = []
    monkeypatch.setattr(train, "start", lambda: started.append(spelling.command("train")))
    for script in ("train.py", "../lrlab/train.py", os.path.join(os.getcwd(), "train.py")):
        monkeypatch.setattr(sys, "argv", [script])
        train.main()
    assert started == ["python train.py", "python ../lrlab/train.py", "python train.py"]
