"""`poseact triangulate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from poseact.cli.options import Out
from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class Triangulate:
    """3D poses from the results of several calibrated cameras that run at the same time."""

    sources: Annotated[Positional[tuple[Path, ...]], arg(metavar="CAM1.jsonl CAM2.jsonl ...")]
    """Results of `poseact predict` of each camera."""
    calib: Annotated[Path, arg(metavar="FILE")]
    """The cameras: Pose2Sim's .toml, or .yml, .yaml, .json of OpenCV's FileStorage."""
    out: Out = Path("triangulated")
    """NAME: the poses are NAME.trc and NAME.csv (in the axes of the calibration), NAME.jsonl."""
    unit: Literal["m", "mm"] = "m"
    """Unit of the translations in the calibration."""

    def run(self) -> int:
        from poseact.skeletons.triangulate_files import triangulate_files

        unit_mm = 1000.0 if self.unit == "m" else 1.0
        done = triangulate_files(self.sources, self.calib, self.out, unit_mm=unit_mm)
        console = Terminal()
        console.say(", ".join(map(str, done.files)))
        for note in done.notes:
            console.say(f"  {note}")
        return 0
