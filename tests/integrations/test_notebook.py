"""The notebooks in docs/ do what they say, executed anew."""

import re
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

LESSON = ROOT / "docs" / "lesson"


def executed(notebook: Path, folder: Path) -> tuple[list[Any], list[str]]:
    """The cells of code of a notebook, executed in `folder`, and what each shows as HTML."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    read = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in read.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs = []
    nbclient.NotebookClient(read, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return cells, ["".join(one.get("data", {}).get("text/html", "") for one in cell.outputs) for cell in cells]


@pytest.fixture(autouse=True)
def of_this_folder(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_the_notebook_runs_and_shows_pictures_and_tables(tmp_path):
    cells, shown = executed(ROOT / "docs" / "lrlab.ipynb", tmp_path)
    assert len(cells) == 5
    assert all("<svg" in one for one in shown[:4])
    assert shown[0].count("<tr>") == 4
    assert "cannot be told apart" in shown[2] or "looks" in shown[2]
    assert "stepped after every epoch instead of after every update" in shown[3]
    assert "T_max=50 goes down once" in shown[4]
    frames = [output for cell in cells for output in cell.outputs if output.output_type == "stream"]
    assert sum(len(output.text.splitlines()) for output in frames if output.name == "stdout") == 0


def test_the_lesson_as_a_notebook_shows_what_it_teaches(tmp_path):
    pytest.importorskip("pandas")
    cells, shown = executed(LESSON / "lesson.ipynb", tmp_path)
    assert all("<svg" in shown[place] for place in (2, 3, 5, 6, 8))
    assert "every LR the same" in cells[4].outputs[0].text
    assert all(name in shown[1] for name in ("constant", "cosine", "0.3"))
    assert all(name in shown[5] for name in ("constant", "step", "exponential", "cosine_bounce", "linear", "cyclic"))
    rows = re.findall(r"<th>(0.\d+)</th>\s*<td>(.*?)</td>\s*<td>(.*?)</td>", shown[7])
    cold, warm = ({lr: float(row[column]) for lr, *row in rows} for column in (0, 1))
    assert cold["0.100"] > 4 * warm["0.100"]  # what a warm-up is for
    assert min(*cold.values(), *warm.values()) == cold["0.030"]
    assert "stepped after every epoch instead of after every update" in shown[9]


def test_both_languages_have_the_same_code():
    nbformat = pytest.importorskip("nbformat")
    english, japanese = (
        nbformat.read(LESSON / name, as_version=4).cells for name in ("lesson.ipynb", "lesson_ja.ipynb")
    )
    assert [cell.cell_type for cell in english] == [cell.cell_type for cell in japanese]
    code = [[cell.source for cell in cells if cell.cell_type == "code"] for cells in (english, japanese)]
    assert code[0] == code[1]
