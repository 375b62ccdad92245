"""The notebook of the tutorials runs from top to bottom."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorials" / "notebook.ipynb"
SOURCE = Path(__file__).parents[1] / "src"


def test_the_notebook_holds_no_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not [
        c for c in cells if c["cell_type"] == "code" and (c["outputs"] or c["execution_count"])
    ]


@pytest.mark.docs
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", f"{SOURCE}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook,
        timeout=180,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    shown = [
        set(output["data"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    assert {"text/html"} <= shown[0]  # who is in the frame
    assert {"image/png"} <= shown[1]  # the frame
    lines = "".join(output["text"] for output in notebook.cells[-1]["outputs"]).splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3", "4"]
