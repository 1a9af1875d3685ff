"""What the documentation says of other libraries is so: each line of its table composes, and gives their values."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

from lrlab.config import compose
from lrlab.config.arguments import read
from lrlab.config.prepare import plan_only

README = (ROOT / "README.md").read_text()
CHOOSING = (ROOT / "docs" / "choosing.md").read_text()
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
DOCS = (ROOT / "docs" / "schedules.md").read_text()
GOLDEN = {
    entry["name"]: entry
    for entry in json.loads((Path(__file__).parent / "golden_schedules.json").read_text())["schedules"]
}
# What another library calls it, its first override, and the golden entry that it is checked against.
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in DOCS.partition("## From other libraries")[2].splitlines()
    if line.startswith("|") and "`scheduler=" in line
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_an_override_gives_the_curve_of_the_library_that_it_is_named_with(row):
    overrides = re.findall(r"`(scheduler=[^`]*)`", row[1])
    entries = [entry.strip() for entry in row[2].split(",") if entry.strip()]
    assert len(entries) in (0, 1, len(overrides))
    for index, override in enumerate(overrides):
        typed = shlex.split(override.replace("λ", "scheduler.lr_lambda"))
        metric = typed[0] in ("scheduler=plateau", "scheduler=greedy")
        typed += ["optimizer.lr=0.1", "trainer.epochs=100", *([] if metric else ["scheduler.interval=epoch"])]
        plan, _ = plan_only(compose.compose(typed), steps_per_epoch=1)
        if index < len(entries):
            entry = GOLDEN[entries[index]]
            every = {**entry["values"], **entry.get("extra_values", {})}
            values = {int(t): lr for t, lr in every.items() if int(t) < 100}
            assert len(values) >= 7
            assert {t: plan.at(t) for t in values} == pytest.approx(values, rel=1e-12, abs=1e-17)


def test_the_table_covers_the_frameworks_that_users_come_from():
    there = " ".join(row[0] for row in ROWS)
    assert all(name in there for name in ("HF ", "timm ", "Keras ", "Composer ", "optax ", "torchtitan "))
    assert sum(bool(row[2]) for row in ROWS) >= 30
    assert {entry.strip() for row in ROWS for entry in row[2].split(",") if entry.strip()} <= set(GOLDEN)


PYTHON = (ROOT / "docs" / "python.md").read_text()


@pytest.mark.slow
def test_the_page_of_the_python_interface_runs_as_it_stands():
    """Its blocks, one after the other, in the test's own folder."""
    known: dict[str, object] = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```", PYTHON, flags=re.DOTALL | re.MULTILINE):
        exec(compile(block, "python.md", "exec"), known)
    assert known["w"].verdict == "as planned: 200 updates, from 0 to 199"
    assert known["c"].verdict("cosine", "constant") == "better"


def test_every_public_name_has_its_place_on_that_page():
    import lrlab
    from lrlab.api.schedule_makers import NAMES

    table = PYTHON.partition("## Schedules")[0]
    assert {*dir(lrlab)} - {*NAMES, "__version__"} <= set(re.findall(r"`(\w+)`", table))
    for place in re.findall(r"\(#([\w-]+)\)", table):
        headings = [
            re.sub(r"[^\w -]", "", line).replace(" ", "-").lower() for line in re.findall(r"^#+ (.+)$", PYTHON, re.M)
        ]
        assert place in headings


def test_the_page_on_choosing_names_every_scheduler():
    table = CHOOSING.partition("No idea?")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(compose.options("scheduler"))


def runs_of_the_readme() -> Iterator[list[str]]:
    """The overrides of every run that a command of the README, or of the page on choosing, asks for."""
    commands = re.findall(r"^    (?:\$ )?python train\.py (?!resume)(.+)$", README + CHOOSING, re.MULTILINE)
    assert len(commands) > 5
    for typed in commands:
        if "--config-dir" not in typed and "my_pkg" not in typed:
            overrides = read(shlex.split(typed.partition("  #")[0])).overrides
            yield from compose.expand(compose.with_recipe(overrides))


def test_every_command_of_the_readme_composes_with_each_of_its_values():
    seen: set[str] = set()
    for run in runs_of_the_readme():
        if not seen.issuperset(run):
            compose.resolve(compose.compose(run))
            seen |= {*run}


@pytest.mark.slow
def test_every_run_of_every_command_of_the_readme_composes():
    for run in runs_of_the_readme():
        compose.resolve(compose.compose(run))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)", text):
        is_generated = "reference/" in target  # which `tests/test_site.py` has
        assert target.startswith("http") or is_generated or (ROOT / page).parent.joinpath(target).exists(), target


def test_every_command_about_groups_is_planned():
    page = (ROOT / "docs" / "groups.md").read_text()
    commands = re.findall(r"^    lrlab (?:train|preview|sweep) (.+)$", page, re.MULTILINE)
    assert len(commands) > 6
    for typed in commands:
        for run in compose.expand(shlex.split(typed)):
            plan_only(compose.compose([*run, "data.root=/nowhere"] if "data=cifar10" in run else run))


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    named = set(re.findall(r"`((?:tests|lrlab|conf)/[\w/]+\.\w+)`", (ROOT / page).read_text()))
    assert not [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
