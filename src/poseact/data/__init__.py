"""Data sets as records: one file a data set, and one function that opens any of them by kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poseact.people.scene import PeopleConfig
    from poseact.types import Record

KINDS = ("people", "lspet")


def load(
    kind: str,
    root: str | Path | None = None,
    *,
    split: str = "test",
    people: PeopleConfig | None = None,
    clips: int = 250,
    workers: int = 1,
) -> list[Record]:
    """All records of a split. `people` and `clips` say which rendered clips; they need no root.

    ValueError for an unknown kind or a missing root; what else the data set's own reader raises.
    """
    if kind == "people":
        from dataclasses import replace

        from poseact.data import synthetic
        from poseact.people.scene import PeopleConfig

        config = replace(people or PeopleConfig(), split=split)
        return synthetic.load(config, clips, workers=workers)
    if kind == "lspet":
        from poseact.data import lsp

        if root is None:
            raise ValueError("data set lspet needs its folder: --root DIR")
        return lsp.load(root, split)
    raise ValueError(f"unknown data set {kind!r}; there are {', '.join(KINDS)}")
