"""The Tab key: what each word may become, and a real bash that completes it in every spelling."""

import os
import pty
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support import ROOT

from lrlab.commands import completion, main

ANSWERS = {
    "lrlab ": [
        *(
            "--help ",
            "--version ",
            "advise ",
            "compare ",
            "completion ",
            "cooldown ",
            "evaluate ",
            "find-lr ",
            "noise ",
        ),
        *("predict ", "preview ", "study ", "sweep ", "train "),
    ],
    "lrlab study NAME study.te": ["study.test="],
    "lrlab study NAME study.test=p": ["study.test=paired "],
    "lrlab study NAME scheduler=wsd_": ["scheduler=wsd_s "],
    "lrlab noise noise.seed": ["noise.seeds="],
    "lrlab advise model=ml": ["model=mlp "],
    "lrlab cooldown ": ["at=", "decay=", "floor=", "shape="],
    "lrlab cooldown outputs/runs/NAME at=80% shape=li": ["shape=linear "],
    "lrlab cooldown outputs/ru": [],
    "lrlab evaluate evaluate.weights=b": ["evaluate.weights=best "],
    "lrlab tr": ["train "],
    "lrlab train sch": ["scheduler.", "scheduler="],
    "lrlab train +sch": ["+scheduler.", "+scheduler="],
    "lrlab train scheduler=warmup_c": ["scheduler=warmup_constant ", "scheduler=warmup_cosine "],
    "lrlab train scheduler=step scheduler.g": ["scheduler.gamma="],
    "lrlab train scheduler.gamma": [],  # the default schedule has none
    "lrlab train trainer.deterministic=": ["trainer.deterministic=false ", "trainer.deterministic=true "],
    "lrlab train optimizer=adam optimizer.lr=": ["optimizer.lr=0.001 "],
    "lrlab train resume=": [],  # a file
    "lrlab train data.root=/t": [],
    "lrlab train --conf": ["--config-dir "],
    "lrlab sweep scheduler=step,cosine_b": ["scheduler=step,cosine_bounce "],
    "lrlab sweep scheduler=step,cosine trainer.epo": ["trainer.epochs="],
    "lrlab sweep hydra.launcher.n": ["hydra.launcher.n_jobs="],
    "lrlab sweep scheduler=nothing model.wid": ["model.width="],
    "lrlab preview preview.x=": ["preview.x=epoch ", "preview.x=percent ", "preview.x=step "],
    "lrlab preview pre": [
        f"preview.{name}=" for name in ("csv", "file", "json", "log", "show", "steps_per_epoch", "x")
    ],
    "lrlab find-lr find_lr.s": ["find_lr.seeds=", "find_lr.start="],
    "lrlab compare compare.metric=train_l": ["compare.metric=train_loss "],
    "lrlab compare outputs/sw": [],
    "lrlab completion b": ["bash "],
    "python train.py scheduler=wsd": ["scheduler=wsd ", "scheduler=wsd_s "],
    "python -m lrlab tr": ["tracking=", "train ", "trainer.", "trainer="],
    "python -m lrlab sweep seed": ["seed="],
    "python -m lrlab.find_lr find_lr.u": ["find_lr.updates="],
}


@pytest.mark.parametrize("line", ANSWERS)
def test_a_word_becomes_what_can_stand_there(line):
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    assert completion.answers(words) == ANSWERS[line]


def test_options_of_the_users_own_folder_are_completed_too(tmp_path):
    (tmp_path / "my_conf" / "scheduler").mkdir(parents=True)
    (tmp_path / "my_conf" / "scheduler" / "mine.yaml").write_text("_target_: my_pkg.MyLR\n")
    words = ["lrlab", "train", "--config-dir", "my_conf", "scheduler=mi"]
    assert completion.answers(words) == ["scheduler=mine "]


def test_every_shell_has_a_script_and_another_is_refused(enter):
    for shell in completion.SHELLS:
        outcome = enter(main.main, "completion", shell)
        assert (outcome.code, outcome.err) == (0, "")
        assert "lrlab completion answer -- " in outcome.out.replace('"${ask[@]}"', "lrlab")
    refused = enter(main.main, "completion", "bsh")
    assert refused.code == 1
    line = "completion: got bsh; allowed: bash, zsh, fish; do: lrlab completion bash"
    assert refused.err == f"lrlab: error: {line}\n"


def typed_in_bash(typed: str) -> str:
    """The line that an interactive bash makes of `typed` and the Tab key, with lrlab's completion."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    try:
        _send(terminal, 'PS1="READ""Y "; eval "$(lrlab completion bash)"\r', until="READY")
        _send(terminal, f"{typed}\t", until="")
        _send(terminal, "\x05'\x01printf %s '\x05 > line.txt; echo WRIT\"\"TEN\r", until="WRITTEN")
        return Path("line.txt").read_text()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def _send(terminal: int, keys: str, until: str) -> None:
    """Type `keys`, and read until `until` has appeared. Keys that follow a Tab wait until bash has completed."""
    os.write(terminal, keys.encode())
    seen, give_up = "", time.monotonic() + 60
    while until and until not in seen and time.monotonic() < give_up:
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 65536).decode(errors="replace")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("lrlab tr", "lrlab train "),
        ("lrlab train sch", "lrlab train scheduler"),
        ("lrlab sweep scheduler=step,cosine_b", "lrlab sweep scheduler=step,cosine_bounce "),
        ("lrlab train resume=outp", "lrlab train resume=outputs/"),
        ("python train.py sch", "python train.py scheduler"),
        ("python train.py scheduler=cosine_b", "python train.py scheduler=cosine_bounce "),
        ("python -m lrlab.preview preview.st", "python -m lrlab.preview preview.steps_per_epoch="),
        ("python other.p", "python other.py "),
    ],
)
def test_bash_completes_it(typed, completed, tmp_path):
    shutil.copy(ROOT / "train.py", tmp_path)
    (tmp_path / "other.py").touch()
    (tmp_path / "outputs").mkdir()
    assert typed_in_bash(typed).strip() == completed.strip()


@pytest.mark.usefixtures("installed")
def test_a_completion_that_python_had_goes_on_for_other_scripts():
    script = (
        '_before() { COMPREPLY=(had); }; complete -F _before python; eval "$(lrlab completion bash)"\n'
        'COMP_LINE="python other.py " COMP_POINT=16; _lrlab_complete python "" other.py; echo "${COMPREPLY[@]}"\n'
        'COMP_LINE="python train.py see" COMP_POINT=19; _lrlab_complete python see train.py; echo "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["had", "seed="]
