"""Folders of runs that nobody trained spoil no comparison of the others, whatever they hold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import TINY, train

from lrlab.commands import compare
from lrlab.comparison import contests, results, text

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, *TINY, "trainer.epochs=1")
    return folder


def in_history(column: int, value: str) -> Change:
    """Another value in the first row of a run's history."""

    def change(run: Path) -> None:
        header, row, *rest = (run / "history.csv").read_text().splitlines()
        values = row.split(",")
        values[column] = value
        (run / "history.csv").write_text("\n".join([header, ",".join(values), *rest]) + "\n")

    return change


def in_summary(**said: object) -> Change:
    def change(run: Path) -> None:
        before = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps({**before, **said}))

    return change


def instead(name: str, contents: str) -> Change:
    return lambda run: (run / name).write_text(contents)


def in_config(old: str, new: str) -> Change:
    return lambda run: (run / "config.yaml").write_text((run / "config.yaml").read_text().replace(old, new))


def in_the_sweep(contents: str) -> Change:
    return lambda run: (run.parent / "sweep.json").write_text(contents)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join([f'*{chr(97 + level)}'] * 9)}]\n" for level in range(9)
)
ODD = {
    "inf in history": in_history(3, "inf"),
    "200 kB in a field": in_history(7, "1" * 200_000),
    "epoch 10^20": in_history(0, str(10**20)),
    "400 digits": in_history(1, "1" * 400),
    "5,000 digits": in_history(0, "1" * 5000),
    "an epoch below 0": in_history(0, "-5"),
    "bytes that are no text": lambda run: (run / "history.csv").write_bytes(b"\xff\xfe\0epoch"),
    "deep JSON": instead("summary.json", "[" * 5000 + "]" * 5000),
    "JSON with long numbers": instead("summary.json", '{"status": "finished", "val_accuracy": ' + "9" * 5000 + "}"),
    "a number without a square": in_summary(val_accuracy=1e308, best_val_accuracy=-1e308),
    "400 digits in the summary": in_summary(val_accuracy=10**400, epochs=10**300),
    "no updates an epoch": in_summary(plan={"steps_per_epoch": 0, "updates": 0, "interval": "epoch", "lr": {"0": 0.1}}),
    "digits of other scripts": in_summary(plan={"steps_per_epoch": 1, "updates": 1, "lr": {"\u00b2": 0.1}}),
    "contents of no data": in_summary(contents={"train": {"classes": {"a": 5}, "files": {"x": [1, 2]}}, "val": 3}),
    "YAML of itself": instead("config.yaml", "&a {b: *a}\n"),
    "YAML that grows": instead("config.yaml", LAUGHS),
    "deep YAML": instead("config.yaml", "[" * 3000 + "]" * 3000),
    "keys that are no texts": instead("config.yaml", "1: {2: 3}\nnull: 4\nseed: 0\n? [a, b]\n: 5\n"),
    "LR 0": in_config("lr: 0.02", "lr: 0"),
    "LR below 0": in_config("lr: 0.02", "lr: -1"),
    "LR of 400 digits": in_config("lr: 0.02", f"lr: {'9' * 400}"),
    "LR that is none": in_config("lr: 0.02", "lr: .nan"),
    "epochs of 400 digits": in_config("epochs: 1", f"epochs: {'9' * 400}"),
    "a seed that is a word": in_config("seed: 0\nresume", "seed: zero\nresume"),
    "a sweep of 5": in_the_sweep('{"runs": 5, "command": 7}'),
    "a sweep elsewhere": in_the_sweep('{"runs": ["../../etc", "a\\u0000b", 5, null]}'),
}


# Those whose values are drawn, or that once reached a figure.
DRAWN = ("inf in history", "epoch 10^20", "LR 0", "a number without a square", "contents of no data")


@pytest.fixture
def theirs(tmp_path, trained) -> Path:
    """A folder of three runs."""
    for seed in (0, 1, 2):
        run = tmp_path / "theirs" / f"run{seed}"
        shutil.copytree(trained, run)
        in_config("seed: 0\nresume", f"seed: {seed}\nresume")(run)
    return tmp_path / "theirs"


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_run_spoils_no_comparison_of_the_others(theirs, odd):
    ODD[odd](theirs / "run0")
    found = results.find([theirs])
    compared = contests.compare(found)
    compared.left_out += results.not_begun([theirs], found)
    [candidate] = compared.contests[0].candidates
    assert {1, 2} <= candidate.best.keys() <= {0, 1, 2}
    assert text.lines(compared)
    assert len(results.as_csv(found).splitlines()) == 4


@pytest.mark.parametrize("odd", [one if one in DRAWN else pytest.param(one, marks=pytest.mark.slow) for one in ODD])
def test_its_page_and_its_figures_are_made(enter, theirs, odd):
    ODD[odd](theirs / "run0")
    outcome = enter(compare.main, str(theirs))
    assert (outcome.code, outcome.err) == (0, "")
    assert (theirs / "report.html").is_file()
