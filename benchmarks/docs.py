"""Write the tables of docs/*.md from the JSON files, so that no figure is typed by hand."""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.timing import FOLDER, ROOT, Table, cells

PAGES = tuple(
    ROOT / "docs" / name
    for name in (
        *("speed.md", "reliability.md", "studies.md", "averages.md", "predicting.md", "advising.md"),
        *("choosing.md", "lesson/index.md", "lesson/ja.md", "recipes.md"),
    )
)
_PLACE = re.compile(r"(<!-- table (?P<name>\w+)(: (?P<title>[^>]+?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(prog="python -m benchmarks docs", description=__doc__).parse_args(arguments)
    for page in PAGES:
        page.write_text(filled(page.read_text(), results()))
        print(f"written: {page.relative_to(ROOT)}")


def results() -> dict[str, dict[str, Any]]:
    """What each benchmark's JSON file says, without those of quick trials."""
    paths = (path for path in FOLDER.glob("*.json") if not path.stem.endswith(".quick"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def filled(page: str, measured: Mapping[str, Mapping[str, Any]]) -> str:
    """`page` with what was `measured` between its markers `<!-- table NAME -->` and `<!-- end -->`.

    With `<!-- table NAME: TITLE -->` it is the table of that title alone, without its title and machine.
    """

    def fill(place: re.Match[str]) -> str:
        name, title = place["name"], place["title"]
        if name not in measured:
            text = f"Not measured yet: `python -m benchmarks {name}`.\n"
        elif title is None:
            text = markdown(measured[name])
        else:
            [kept] = [one for one in measured[name]["tables"] if one["title"] == title]
            text = "\n" + "\n".join(lines_of(Table(**kept))) + "\n"
        return f"{place[1]}{text}{place[5]}"

    return _PLACE.sub(fill, page)


def markdown(contents: Mapping[str, Any]) -> str:
    """The machine and the tables of one JSON file."""
    machine = contents["machine"]
    computer = ", ".join([machine["processor"], f"{machine['cores']} cores", *machine["gpus"]])
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    counted = all(not table["base"] for table in contents["tables"])
    how = "Counted once" if counted else f"Medians of {contents['repeats']} interleaved repeats"
    parts = [f"{how}. {computer}; {versions}.\n"]
    for kept in contents["tables"]:
        table = Table(**kept)
        if not table.rows:
            continue
        left_out = [f"\nLeft out: {name}: {reason}." for name, reason in table.left_out.items()]
        parts.append("\n".join([f"**{table.title}**\n", *lines_of(table), *left_out]) + "\n")
    return "\n".join(parts)


def lines_of(table: Table) -> list[str]:
    """The lines of a table: its header, the rule below it, its rows."""
    header, *lines = [f"| {' | '.join(line)} |" for line in cells(table)]
    return [header, "|---|" + "---:|" * (header.count("|") - 2), *lines]


if __name__ == "__main__":
    main()
