"""`poseact eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from poseact.cli.options import Exit
from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on labelled data."""

    weights: str = "spnet-s"
    """A shipped model or a weights file."""
    data: Annotated[str, arg(metavar="KIND")] = "people"
    """people, or a set on disk: lspet, mpii, coco, h36m, mpi_inf_3dhp, penn, ntu, jhmdb, folder."""
    root: Annotated[Path | None, arg(metavar="DIR")] = None
    """Its folder; rendered people need none."""
    protocol: Annotated[str | None, arg(metavar="NAME")] = None
    """How it is scored, see docs/protocols.md; each kind of data has a default."""
    split: Literal["train", "val", "test", "all"] | None = None
    """Which part of it: by default the protocol's."""
    block: Exit = None
    """The prediction block that answers: by default the last."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Only so many samples."""
    views: Literal["single", "flip", "multi_crop"] | None = None
    """One crop; that and its mirror image; or five crops and their mirror images (CVPR 2018)."""
    crop: Literal["warp", "original"] | None = None
    """Who cuts the crops: this package, or the steps of the original project, for its weights."""
    step: Annotated[int | None, arg(metavar="N")] = None
    """Every how many frames of a video (of a clip, or of those that are scored); by default what
    the network was trained for, if its card says so, or the protocol's."""
    root_depth: Literal["given", "stature"] | None = None
    """3D: the distance of the root is the true one, or that of an adult of 1.7 m."""
    predicted_box: bool = False
    """Actions: crop the box around poses predicted in the whole first, middle and last picture of
    a clip; penn and ntu do so anyway."""
    true_box: bool = False
    """Actions: crop the annotated box on penn and ntu, too."""
    boxes: Annotated[Path | None, arg(metavar="FILE")] = None
    """Boxes of penn or folder."""
    by_name: bool = False
    """Human3.6M: joints meet by name, for networks that did not learn them from Human3.6M."""
    out: Annotated[Path | None, arg(metavar="FILE")] = None
    """COCO, and MPII's test people: where the predictions go."""
    preset: Literal["easy", "standard", "hard"] = "standard"
    """How hard the rendered people are."""
    json: bool = False
    """Print JSON rather than a table."""
    device: str = "cpu"
    """Where the network runs."""

    def run(self) -> int:
        from poseact.evaluate.benchmarks import run

        options = {
            "views": self.views,
            "crop": self.crop,
            "step": self.step,
            "root_depth": self.root_depth,
            "predicted_box": True if self.predicted_box else False if self.true_box else None,
            "out": self.out,
        }
        found = run(
            self.weights,
            self.data,
            root=self.root,
            protocol=self.protocol,
            split=self.split,
            block=self.block,
            limit=self.limit,
            device=self.device,
            preset=self.preset,
            boxes=self.boxes,
            by_name=self.by_name,
            options={name: value for name, value in options.items() if value is not None},
            console=Terminal(),
        )
        print(found.to_json() if self.json else found.table())
        return 0
