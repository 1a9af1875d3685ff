"""How results show themselves in a notebook: pictures and tables whose ink is the page's, dark or light."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lrlab.drawing import figures

_FITTING = '<svg style="max-width: 100%; height: auto" '


@dataclass(frozen=True, repr=False)
class Picture:
    """A drawing, which a notebook shows. `save` writes it to a file; `figure` is matplotlib's, to be changed."""

    draw: Callable[[], Any]

    @property
    def figure(self) -> Any:
        """A new `matplotlib.figure.Figure`."""
        return self.draw()

    def save(self, file: str | Path) -> None:
        """Write the drawing to `file`. Raises ValueError unless it ends in .png, .svg or .pdf."""
        path = Path(file)
        if path.suffix not in figures.SUFFIXES:
            from lrlab.schedules.law import wrong_argument

            do = f'file="{path.stem}.png"'
            raise wrong_argument("file", got=f"'{file}'", allowed=", ".join(figures.SUFFIXES), do=do)
        figures.save(self.draw(), path)

    def __repr__(self) -> str:
        return 'a picture; do: .save("FILE.png"), or show it in a notebook'

    def _repr_html_(self) -> str:
        drawn = figures.as_svg(self.draw)
        return f"<div>{drawn.replace('<svg ', _FITTING, 1)}</div>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table: names to the left, everything else to the right."""
    head = "".join(_cell("th", text, index) for index, text in enumerate(header))
    body = ""
    for row in rows:
        body += f"<tr>{''.join(_cell('td', text, index) for index, text in enumerate(row))}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def notes(lines: Sequence[str]) -> str:
    """Lines below a picture; nothing where there are none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _cell(tag: str, text: str, index: int) -> str:
    side = "left" if index == 0 else "right"
    return f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>'
