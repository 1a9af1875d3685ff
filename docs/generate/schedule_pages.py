"""A page for every schedule: its picture, formula, source, settings, names elsewhere, and when to use it."""

import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from yaml_comments import CONF, ROOT, Setting, read

from lrlab import schedules

PLACE = "reference/schedules"
FOLLOW_A_METRIC = ("plateau", "warmup_plateau", "greedy")  # whose LR nobody knows before training
_KNOWN = Path(__file__).with_name("schedules.yaml")
_SHOWN = "optimizer.lr=0.1 trainer.epochs=100 preview.steps_per_epoch=10"


def names() -> list[str]:
    """Every option of `scheduler=`."""
    return sorted(path.stem for path in (CONF / "scheduler").glob("*.yaml"))


@cache
def known() -> dict[str, dict[str, Any]]:
    """What no code says: when to use a schedule, and the formulas of torch's classes."""
    return yaml.safe_load(_KNOWN.read_text())


def command(name: str) -> str:
    """The command that draws a schedule."""
    return f"lrlab preview scheduler={name} {_SHOWN} preview.file={name}.svg"


def pages() -> dict[str, str]:
    """By place in the site: the index, and a page a schedule."""
    return {f"{PLACE}/index.md": _index(), **{f"{PLACE}/{name}.md": page(name) for name in names()}}


def pictures(wanted: Sequence[str] | None = None) -> dict[str, bytes]:
    """By place in the site: a picture of every schedule that has a plan, drawn by its `command`."""
    from lrlab.commands import main

    found, typed = {}, sys.argv
    with TemporaryDirectory() as folder:
        for name in names() if wanted is None else wanted:
            if name in FOLLOW_A_METRIC:
                continue
            sys.argv = command(name).split()
            sys.argv[-1] = f"preview.file={folder}/{name}.svg"
            with redirect_stdout(io.StringIO()):
                main.start("preview", sys.argv[2:])
            found[f"{PLACE}/{name}.svg"] = Path(folder, f"{name}.svg").read_bytes()
    sys.argv = typed
    return found


def page(name: str) -> str:
    """The page of a schedule."""
    path = CONF / "scheduler" / f"{name}.yaml"
    explained = read(path)
    parts = [f"# {name}", linked(plain(explained.about)), _picture(name)]
    parts += ["## When to use it", linked(f"{known()[name]['when']} {plain(explained.used)}")]
    parts += ["## Formula", *_formulas(name, path)]
    parts += ["## Settings", f"    {explained.example}", settings_table("scheduler", explained.settings)]
    if rows := _elsewhere(name):
        header = ["| there | in lrlab |", "|---|---|"]
        body = [f"| {there} | {here} |" for there, here in rows]
        text = "`λ` stands for `scheduler.lr_lambda`. [All of them](../../schedules.md#from-other-libraries)."
        parts += ["## Names elsewhere", "\n".join([*header, *body]), text]
    return "\n\n".join(parts) + "\n"


def linked(text: str) -> str:
    """`text` with a link for every paper."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def settings_table(group: str, settings: Sequence[Setting]) -> str:
    """Settings as a table."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for one in settings:
        default = "`" + one.default.replace("|", "\\|") + "`" if one.default else ""
        rows.append(f"| `{group}.{one.key}` | {default} | {linked(cell(one.meaning))} |")
    return "\n".join(rows)


def cell(text: str) -> str:
    """`text` as it may stand in a table, with what Markdown would take for its own as it is."""
    return plain(text).replace("|", "\\|")


def plain(text: str) -> str:
    """A comment as Markdown: what is between backticks stays, other signs are no markup."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"[\\_*{}\[\]]", r"\\\g<0>", parts[index]).replace("<", "&lt;")
    return "`".join(parts)


def _picture(name: str) -> str:
    if name in FOLLOW_A_METRIC:
        return (
            "Its LR follows what the model does, so nobody knows the curve before the run: there is no picture of it."
        )
    return f"![The LR of {name} over 100 epochs]({name}.svg)\n\n    {command(name)}"


def _formulas(name: str, path: Path) -> Iterator[str]:
    """What the LR is: of torch's classes as it is known, of lrlab's functions as their docstrings say."""
    if formula := known()[name].get("formula"):
        yield _indented(formula.replace("`", ""))
    for function in _functions(yaml.safe_load(path.read_text()).get("lr_lambda")):
        text = getattr(schedules, function).__doc__ or ""
        body = re.sub(r"\n    ", "\n", text.partition("    >>> ")[0]).strip()
        first, _, rest = body.partition("\n\n")
        blocks = [_block(part) for part in rest.split("\n\n") if part.strip()]
        yield "\n\n".join([f"**`{function}`**: {' '.join(first.split())}", *map(linked, blocks)])


def _block(part: str) -> str:
    """A paragraph of a docstring: formulas as they stand, prose as prose."""
    is_formula = re.match(r"\w+(\([^)]*\))? +=|\w+\(\w+\) = |\s+\|", part) is not None
    return _indented(part.replace("`", "")) if is_formula else " ".join(part.split())


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip("\n").splitlines())


def _functions(node: Any) -> Iterator[str]:
    """The functions of `lrlab.schedules` that a YAML puts together, each once, from the outermost on."""
    found: list[str] = []

    def visit(inside: Any) -> None:
        if isinstance(inside, dict):
            target = str(inside.get("_target_", ""))
            if target.startswith("lrlab.schedules."):
                found.append(target.rpartition(".")[2])
            for value in inside.values():
                visit(value)
        elif isinstance(inside, list):
            for value in inside:
                visit(value)

    visit(node)
    yield from dict.fromkeys(found)


def _elsewhere(name: str) -> list[tuple[str, str]]:
    """The rows of the page on schedules whose override is this one: what others call it, and the override."""
    table = (ROOT / "docs" / "schedules.md").read_text().partition("## From other libraries")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return [(row[0], row[1]) for row in rows if re.search(rf"`scheduler={name}[ `]", row[1])]


def _index() -> str:
    """Every schedule, with its picture and what it does."""
    cards = []
    for name in names():
        about = read(CONF / "scheduler" / f"{name}.yaml").about
        picture = "" if name in FOLLOW_A_METRIC else f"![]({name}.svg)\n\n    "
        cards.append(f"-   {picture}[**{name}**]({name}.md): {linked(plain(about))}")
    intro = (
        f"{len(names())} options of `scheduler=`, each over 100 epochs from an LR of 0.1 with its default settings. "
        "[How they are put together, and one clock for all](../../schedules.md)."
    )
    return (
        "\n\n".join(["# Every schedule", intro, '<div class="grid cards" markdown>', "\n\n".join(cards), "</div>"])
        + "\n"
    )
