"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

Out = Annotated[Path, arg(aliases=["-o"])]
Exit = Annotated[tuple[int, int] | None, arg(metavar="PYRAMID LEVEL")]
Box = Annotated[tuple[float, float, float, float] | None, arg(metavar="X0 Y0 X1 Y1")]
Device = Annotated[str | None, arg(metavar="NAME")]
