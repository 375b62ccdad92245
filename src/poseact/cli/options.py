"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

Out = Annotated[Path, arg(aliases=["-o"])]
Exit = Annotated[tuple[int, int] | None, arg(metavar="PYRAMID LEVEL")]
Box = Annotated[tuple[float, float, float, float] | None, arg(metavar="X0 Y0 X1 Y1")]
Device = Annotated[str | None, arg(metavar="NAME")]


def people_count(text: str) -> Literal["all", "one"] | int:
    """What --people says."""
    if text == "all" or text == "one":
        return text
    if text.isdecimal() and int(text):
        return int(text)
    raise ValueError(f"--people is all, one or a number, 1 or more, got {text}")
