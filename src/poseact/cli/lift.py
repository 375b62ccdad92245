"""`poseact lift`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from poseact.cli.options import Out
from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class Lift:
    """3D poses from the 2D joints of another program's files."""

    source: Annotated[Positional[Path], arg(metavar="IN")]
    """OpenPose JSON (a folder or one file), COCO results .json, our .jsonl, or an .npy/.npz."""
    out: Out
    """The results to write (NAME.jsonl), root-relative mm in H36M17."""
    weights: str = "lifter"
    """The shipped lifter, or the weights file of another."""
    layout: Annotated[str | None, arg(metavar="NAME")] = None
    """Which joints, in which order; an array (T, J, 2 or 3) needs it."""
    size: Annotated[tuple[int, int] | None, arg(metavar="WIDTH HEIGHT")] = None
    """Size of the pictures in px, where the file does not say and the lifter asks for it."""
    fps: float = 30.0
    """Frames a second, where the file does not say."""
    people: Annotated[int | None, arg(metavar="N")] = None
    """Only the N people who are seen best and longest."""
    combine: Literal["mean", "det", "gt"] = "mean"
    """Mean of both streams, or the one trained on a detector's joints or on exact ones."""
    flip: bool = False
    """Average with the mirror image."""
    html: bool = False
    """Also write NAME.html, a page that shows the poses."""

    def run(self) -> int:
        if self.people is not None and self.people < 1:
            raise ValueError(f"--people is a number of people, 1 or more, got {self.people}")
        if self.fps <= 0:
            raise ValueError(f"--fps is a number of frames a second, got {self.fps}")
        from poseact.inference.jobs import Job, run_jobs
        from poseact.skeletons.lift import lift_job

        work = partial(
            lift_job,
            out=self.out,
            weights=self.weights,
            layout=self.layout,
            size=self.size,
            fps=self.fps,
            people=self.people,
            combine=self.combine,
            flip=self.flip,
            html=self.html,
        )
        job = Job(str(self.source), "keypoints", self.out.stem)
        return run_jobs([job], work, console=Terminal())
