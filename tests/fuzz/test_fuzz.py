"""No file brings a reader down: it is read, or refused in a line that names it.

`make fuzz N=30000` tries more; a file that does harm joins `tests/files/cases/READER/`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.attack import attack, campaign
from tests.fuzz.seeds import READERS

CASES = Path(__file__).parents[1] / "files" / "cases"


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_files_that_once_did_harm(name: str) -> None:
    paths = sorted((CASES / name).iterdir())
    outcomes = attack(name, [path.read_bytes() for path in paths])
    assert not {path.name: o for path, o in zip(paths, outcomes, strict=True) if o.is_fault}


def test_good_files_are_read(tmp_path: Path) -> None:
    for name, reader in READERS.items():
        root = tmp_path / name
        root.mkdir()
        reader.seed(root)
        (outcome,) = attack(name, [(root / reader.file).read_bytes()])
        assert outcome.kind == "read", (name, outcome)


def test_spoilt_files() -> None:
    assert not campaign(300, seed=1)
