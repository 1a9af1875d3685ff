"""The notebook in docs/ does what it says, executed anew."""

import pytest
from support import ROOT

NOTEBOOK = ROOT / "docs" / "lrlab.ipynb"


def test_the_notebook_runs_and_shows_pictures_and_tables(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) == 5
    for cell in cells:
        cell.outputs = []
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = ["".join(output.get("data", {}).get("text/html", "") for output in cell.outputs) for cell in cells]
    assert all("<svg" in one for one in shown[:4])
    assert shown[0].count("<tr>") == 4
    assert "cannot be told apart" in shown[2] or "looks" in shown[2]
    assert "stepped after every epoch instead of after every update" in shown[3]
    assert "T_max=50 goes down once" in shown[4]
    frames = [output for cell in cells for output in cell.outputs if output.output_type == "stream"]
    assert sum(len(output.text.splitlines()) for output in frames if output.name == "stdout") == 0
