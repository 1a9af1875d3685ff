"""docs/optimizers.md has every option, its commands compose, and the tests that it names are there."""

import re
import shlex
from pathlib import Path

import pytest
from support import ROOT, needs

from lrlab.config import compose
from lrlab.config.arguments import read
from lrlab.config.catalogue import option, options
from lrlab.config.prepare import plan_only

PAGE = (ROOT / "docs" / "optimizers.md").read_text()
ROWS = {
    name: [cell.strip() for cell in row.split("|")[2:-1]]
    for name, row in re.findall(r"^(?=\| `(\w+)` \|)(.+)$", PAGE.partition("**Start**")[0], re.M)
}
COMMANDS = [typed for typed in re.findall(r"^    python train\.py (.+)$", PAGE, re.M) if "my_optimizers" not in typed]


def test_the_table_has_every_option():
    assert sorted(ROWS) == options("optimizer")
    assert {len(cells) for cells in ROWS.values()} == {9}


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in options("optimizer")])
def test_the_lr_to_start_with_can_be_planned_without_a_warning(name):
    start = re.match(r"[\d.]+", ROWS[name][2])
    assert start is not None
    scheduler = {"schedule_free": "warmup_constant", "prodigy": "cosine"}.get(name, "warmup_cosine")
    typed = [f"optimizer={name}", f"optimizer.lr={start[0]}", f"scheduler={scheduler}"]
    assert plan_only(compose.compose(typed))[1] == []


@pytest.mark.parametrize("name", options("optimizer"))
def test_the_default_lr_is_that_of_the_option(name):
    assert float(ROWS[name][3]) == option("optimizer", name, {})["lr"]


@pytest.mark.parametrize("typed", COMMANDS)
def test_a_command_of_the_page_composes(typed):
    arguments = read(shlex.split(typed))
    for run in compose.expand(arguments.overrides):
        if "pytorch_optimizer" not in typed:
            compose.resolve(compose.compose(run))


def test_the_tests_that_it_names_are_there():
    laws = (Path(__file__).parent / "test_laws.py").read_text()
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) >= 5
    assert not [name for name in named if f"def {name}(" not in laws]


def test_the_page_on_choosing_names_every_optimizer_and_leads_here():
    [row] = [
        line for line in (ROOT / "docs" / "choosing.md").read_text().splitlines() if line.startswith("| `optimizer` |")
    ]
    assert set(re.findall(r"`(\w+)`", row)) >= set(options("optimizer"))
    assert "(optimizers.md)" in row
