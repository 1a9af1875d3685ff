"""The site says what is so: every schedule and setting has its place, both languages say the same, commands compose."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from support import ROOT

from lrlab.commands import main
from lrlab.config import compose
from lrlab.config.arguments import read
from lrlab.errors import wrong
from lrlab.sweeps import study

sys.path.append(str(ROOT / "docs" / "generate"))

import commands_page
import names_page
import schedule_pages
import settings_page
import yaml_comments

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ENGLISH, JAPANESE = ((DOCS / "lesson" / name).read_text() for name in ("index.md", "ja.md"))
# Commands with what only a user has: a folder, a cluster, a class.
NOT_HERE = (
    "my_",
    "pytorch_optimizer",
    "submitit",
    "interval(",
    "=all",
    "resume=",
    "replay=",
    "RUN",
    "NAME",
    "FOLDER",
    "FILE",
    "...",
    "outputs/",
    "--config-dir",
    "INITIAL",
)


@pytest.mark.parametrize("name", schedule_pages.names())
def test_every_schedule_has_a_page_with_all_that_one_asks(name):
    page = schedule_pages.page(name)
    for heading in ("## When to use it", "## Formula", "## Settings"):
        text = page.partition(heading)[2].partition("\n## ")[0]
        assert len(text.split()) > 3, heading
    assert "\n    " in page.partition("## Formula")[2].partition("\n## ")[0]
    if name not in schedule_pages.FOLLOW_A_METRIC:
        assert schedule_pages.command(name) in page
    assert f"[**{name}**]({name}.md)" in schedule_pages.pages()[f"{schedule_pages.PLACE}/index.md"]


def test_their_number_is_what_the_first_pages_say():
    for page in (ROOT / "README.md", DOCS / "index.md"):
        assert re.findall(r"(\d+) schedules", page.read_text()) == [str(len(schedule_pages.names()))]


def test_nothing_is_said_of_a_schedule_that_is_none():
    assert schedule_pages.known().keys() == {*schedule_pages.names()}


@pytest.mark.slow
def test_a_picture_is_what_its_command_draws():
    drawn = schedule_pages.pictures()
    assert {Path(place).stem for place in drawn} == {*schedule_pages.names()} - {*schedule_pages.FOLLOW_A_METRIC}
    assert all(b"<svg" in picture for picture in drawn.values())


@pytest.mark.parametrize("name", ["wsd", "cosine_bounce"])
def test_the_command_beside_a_picture_draws_it(name, enter, tmp_path):
    from lrlab.commands import preview

    drawn = schedule_pages.pictures((name,))[f"{schedule_pages.PLACE}/{name}.svg"]
    assert enter(preview.main, *shlex.split(schedule_pages.command(name))[2:]).code == 0
    assert (tmp_path / f"{name}.svg").read_bytes() == drawn


@pytest.mark.parametrize("group", ["", *settings_page.GROUPS, "scheduler"])
def test_every_setting_is_explained(group):
    files = [yaml_comments.CONF / "config.yaml"] if not group else sorted((yaml_comments.CONF / group).glob("*.yaml"))
    for file in files:
        explained = yaml_comments.read(file)
        silent = [one.key for one in explained.settings if not one.meaning]
        assert not silent, (file.name, silent)


def test_a_comment_is_read_as_it_stands(tmp_path):
    file = tmp_path / "it.yaml"
    file.write_text(
        "# What it is.\n#   python train.py it=1\n# Used: by all.\n_target_: x\n"
        "a: 1  # first\n"
        "b: null   # second,\n"
        "          # in two lines\n"
        "c: {d: 1} # whole\n"
        "e:        # of both\n"
        "  f: '#'  # sign\n"
    )
    explained = yaml_comments.read(file)
    assert (explained.about, explained.example, explained.used) == (
        "What it is.",
        "python train.py it=1",
        "Used: by all.",
    )
    told = [(one.key, one.default, one.meaning) for one in explained.settings]
    assert told == [
        *(("a", "1", "first"), ("b", "null", "second, in two lines"), ("c", "{d: 1}", "whole")),
        *(("e", "", "of both"), ("e.f", "'#'", "sign")),
    ]


def test_signs_of_a_comment_are_no_markup():
    said = schedule_pages.plain("NAME: {params: [NAME.*]}, `gamma_*`, with a _target_, a < b")
    assert said == r"NAME: \{params: \[NAME.\*\]\}, `gamma_*`, with a \_target\_, a &lt; b"
    assert r"\{params: \[NAME.\*\]" in settings_page.pages()[settings_page.PLACE]


def test_the_page_of_settings_has_every_option():
    page = settings_page.pages()[settings_page.PLACE]
    for group in ("data", "model", "optimizer", "task", "tracking"):
        for option in compose.options(group):
            assert f"### `{group}={option}`" in page


def test_every_command_and_every_public_name_is_there():
    page = commands_page.pages()[commands_page.PLACE]
    assert all(f"## lrlab {name}\n" in page for name in all_commands())
    named = [name for names in names_page.HEADINGS.values() for name in names]
    assert sorted(named) == sorted(names_page.homes())


def all_commands() -> list[str]:
    from lrlab.commands.main import COMMANDS

    return [*COMMANDS]


def test_every_page_has_its_place_in_the_menu():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def pages(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        inside = node.values() if isinstance(node, dict) else node
        return [page for one in inside for page in pages(one)]  # type: ignore[attr-defined]

    listed = pages(config["nav"])
    written = {str(page.relative_to(DOCS)) for page in PAGES}
    generated = {schedule_pages.PLACE + "/index.md", settings_page.PLACE, commands_page.PLACE, names_page.PLACE}
    assert {*listed} == written | generated
    assert len(listed) == len({*listed})


def commands_of(text: str) -> list[str]:
    """What is typed on a page, without what is printed."""
    return re.findall(r"^    (?:\$ )?((?:python train\.py|lrlab|torchrun) .+?)(?:  +#.*)?$", text, re.MULTILINE)


def code_of(text: str) -> list[str]:
    """The blocks of Python on a page."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_both_languages_have_the_same_commands_code_tables_and_pictures():
    assert commands_of(ENGLISH) == commands_of(JAPANESE)
    for pattern in (r"<!-- table .*?-->", r"!\[.*?\]\((.*?)\)", r"arXiv:\d{4}\.\d{5}"):
        assert re.findall(pattern, ENGLISH)
        assert re.findall(pattern, ENGLISH) == re.findall(pattern, JAPANESE)
    comment = r" *#.*"
    english, japanese = ([re.sub(comment, "", block) for block in code_of(page)] for page in (ENGLISH, JAPANESE))
    assert english == japanese
    assert len(re.findall(r"^#+ ", ENGLISH, re.MULTILINE)) == len(re.findall(r"^#+ ", JAPANESE, re.MULTILINE))


def test_the_tutorials_three_schedules_are_torchs_bit_for_bit():
    import torch
    from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, StepLR

    import lrlab

    makers = {
        "step": lambda optimizer: StepLR(optimizer, step_size=25, gamma=0.5),
        "exponential": lambda optimizer: ExponentialLR(optimizer, gamma=0.95),
        "cosine_bounce": lambda optimizer: CosineAnnealingLR(optimizer, T_max=20, eta_min=0),
    }
    settings = {"step": {"step_size": 25, "gamma": 0.5}, "exponential": {"gamma": 0.95}, "cosine_bounce": {"T_max": 20}}
    for name, maker in makers.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        scheduler = maker(optimizer)
        planned = lrlab.schedule(name, lr=0.1, epochs=100, **settings[name])
        for epoch in range(100):
            assert planned(epoch) == optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()


def test_the_code_of_the_lesson_that_can_stand_alone_runs():
    [alone] = [block for block in code_of(ENGLISH) if block.startswith("import lrlab")]
    exec(compile(alone, "lesson", "exec"), {})


def typed_on_the_site() -> list[tuple[str, str]]:
    """Commands that train or preview, with the page that has them."""
    found = []
    for page in [ROOT / "README.md", *PAGES]:
        for command in commands_of(page.read_text()):
            is_run = re.match(r"python train\.py |lrlab (train|sweep|preview|find-lr|advise) ", command)
            if is_run and not any(part in command for part in NOT_HERE):
                found.append((str(page.relative_to(ROOT)), command))
    return found


@pytest.mark.parametrize("page", sorted({page for page, _ in typed_on_the_site()}))
def test_every_command_of_a_page_composes(page):
    """Its runs until every value was in one; `test_docs` has all runs of the README."""
    for command in [command for own, command in typed_on_the_site() if own == page]:
        typed = shlex.split(command)
        arguments = typed[2:]
        own = [one for one in arguments if re.match(r"(preview|find_lr|advise)\.", one)]
        overrides = read([one for one in arguments if one not in own]).overrides
        seen: set[str] = set()
        for run in compose.expand(compose.with_recipe(overrides)):
            if not seen.issuperset(run):
                compose.resolve(compose.compose(run))
                seen |= {*run}


READS_RESULTS = ("study", "compare", "predict", "noise", "evaluate", "cooldown")


def of_results_on_the_site() -> list[tuple[str, str]]:
    """Commands that read what runs left, or make a study, with the page that has them."""
    found = []
    for page in [ROOT / "README.md", *PAGES]:
        for command in commands_of(page.read_text()):
            if re.match(rf"lrlab ({'|'.join(READS_RESULTS)}) ", command):
                found.append((str(page.relative_to(ROOT)), command.replace("...", "")))
    return found


@pytest.mark.parametrize("page", sorted({page for page, _ in of_results_on_the_site()}))
def test_every_command_about_results_is_understood(page, enter, monkeypatch):
    """There are none in an empty folder, which is all that each may complain about; a setting that is none is worse."""

    def nothing_there(_: object) -> None:
        raise wrong("study", got="no results", allowed="none here", do="nothing")

    monkeypatch.setattr(study, "carry_out", nothing_there)
    for command in [command for own, command in of_results_on_the_site() if own == page]:
        name, *typed = shlex.split(command)[1:]
        outcome = enter(main.main, name, *typed)
        assert outcome.code == 1, command
        assert re.search(r"got (no results|[^ ]+, which (is no folder|does not exist))", outcome.err), command
        if name == "cooldown":  # whose settings are of the run, which is not there
            continue
        misspelled = enter(main.main, name, *typed, f"{name}.nonsense=1")
        assert misspelled.code == 1
        assert "nonsense" in misspelled.err
