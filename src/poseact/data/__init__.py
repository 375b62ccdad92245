"""Data sets as records: one file a data set, and one function that opens any of them by kind."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from poseact.core.console import SILENT, Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poseact.core.types import Record
    from poseact.people.scene import PeopleConfig

READERS = {
    "lspet": "sets.lsp",
    "mpii": "sets.mpii",
    "coco": "sets.coco",
    "jhmdb": "sets.jhmdb",
    "h36m": "sets.h36m",
    "mpi_inf_3dhp": "sets.mpi_inf_3dhp",
    "penn": "sets.penn",
    "ntu": "sets.ntu",
    "folder": "sets.folder",
    "skeletons": "sets.skeletons",
    "msr3d": "sets.msr3d",
    "sbu": "sets.sbu",
    "nobody": "nobody",
    "packed": "pack",
}
"""Kind of data set -> the module whose `load(root, split)` reads it."""
KINDS = ("people", *READERS)


def load(
    kind: str,
    root: str | Path | None = None,
    *,
    split: str = "test",
    people: PeopleConfig | None = None,
    clips: int = 250,
    workers: int = 1,
    console: Console = SILENT,
) -> list[Record]:
    """All records of a split. `people` and `clips` say which rendered clips; they need no root.

    Options of a single data set are those of its own reader. ValueError for an unknown kind or a
    missing root; what else the reader raises.
    """
    if kind == "people":
        from dataclasses import replace

        from poseact.data import synthetic
        from poseact.people.scene import PeopleConfig

        config = replace(people or PeopleConfig(), split=split)
        return synthetic.load(config, clips, workers=workers, console=console)
    if kind not in READERS:
        raise ValueError(f"unknown data set {kind!r}; there are {', '.join(KINDS)}")
    if root is None:
        raise ValueError(f"data set {kind} needs its folder: --root DIR")
    return import_module(f"poseact.data.{READERS[kind]}").load(root, split)


def load_splits(
    kind: str, root: str | Path | None, splits: Sequence[str], *, console: Console = SILENT
) -> dict[str, list[Record]]:
    """Those of the splits that the data set has; the console hears of the others.

    What the reader raises for the first split, if it has none of them.
    """
    found: dict[str, list[Record]] = {}
    refused: list[Exception] = []
    for split in splits:
        try:
            found[split] = load(kind, root, split=split, console=console)
        except (ValueError, FileNotFoundError) as error:
            refused.append(error)
    if not found:
        raise refused[0]
    for error in refused:
        console.warn(str(error))
    return found
