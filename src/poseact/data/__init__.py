"""Data sets as records: one file a data set, and one function that opens any of them by kind."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from poseact.core.console import SILENT, Console
from poseact.data import nobody, pack
from poseact.data.sets import (
    clips,
    coco,
    folder,
    h36m,
    jhmdb,
    lsp,
    mpi_inf_3dhp,
    mpii,
    msr3d,
    ntu,
    penn,
    pseudo,
    sbu,
    skeletons,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poseact.core.types import Record
    from poseact.people.scene import PeopleConfig

READERS: dict[str, ModuleType] = {
    "lspet": lsp,
    "mpii": mpii,
    "coco": coco,
    "jhmdb": jhmdb,
    "h36m": h36m,
    "mpi_inf_3dhp": mpi_inf_3dhp,
    "penn": penn,
    "ntu": ntu,
    "folder": folder,
    "skeletons": skeletons,
    "msr3d": msr3d,
    "sbu": sbu,
    "clips": clips,
    "nobody": nobody,
    "pseudo": pseudo,
    "packed": pack,
}
"""Kind of data set -> the module whose `load(root, split)` reads it."""

OPTIONS: dict[str, tuple[str, ...]] = {
    "mpii": ("box", "people", "pictures", "annotations"),
    "coco": ("annotations",),
    "jhmdb": ("fold", "subset", "box", "annotations"),
    "h36m": ("step", "stills", "layout", "detections", "subjects", "drop_corrupt"),
    "mpi_inf_3dhp": ("step", "stills"),
    "penn": ("boxes", "swap_sides"),
    "ntu": ("protocol", "classes", "missing", "keep_missing", "sides", "step", "workers"),
    "folder": ("boxes", "layout"),
    "skeletons": ("subset", "train_subjects", "listed", "fold"),
    "msr3d": ("subset", "train_subjects", "form", "listed"),
    "sbu": ("fold", "protocol", "seed"),
    "clips": ("boxes", "source"),
    "nobody": ("layout",),
    "pseudo": ("pack", "source"),
}
"""What else the `load` of a kind takes, if anything."""

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
    return READERS[kind].load(root, split)


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
