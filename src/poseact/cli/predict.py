"""`poseact predict`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from poseact.cli.options import Box, Device, Exit, Out
from poseact.cli.terminal import Terminal, progress
from poseact.cli.unified import UnifiedOptions


@dataclass(frozen=True)
class Predict:
    """Poses and actions of a picture, folder, glob, video, URL or camera."""

    source: Annotated[Positional[str], arg(metavar="IN")]
    """File, folder, "glob", URL, or the number of a camera."""
    out: Out = Path("poseact_out")
    """Folder for NAME.jsonl and the annotated picture (png) or video (mp4)."""
    weights: str = "spnet-s"
    """A shipped model (see `poseact models`) or a weights file."""
    exit: Exit = None
    """Stop at this prediction block: faster, less exact."""
    box: Box = None
    """Where the person is (at the start), in px. Without it the person is searched for."""
    csv: bool = False
    """Also write NAME.csv."""
    html: bool = False
    """Also write NAME.html, a page that shows the results."""
    coco: bool = False
    """Also write NAME_coco.json, COCO results."""
    openpose: bool = False
    """Also write the folder NAME_openpose, a JSON file a frame as OpenPose does."""
    trc: bool = False
    """Also write NAME.trc, the 3D joints as markers for OpenSim and the like."""
    video: Annotated[bool, arg(help_behavior_hint="")] = True
    """Leave the annotated picture or video out."""
    smooth: Annotated[bool, arg(help_behavior_hint="")] = True
    """Leave the poses of a video as they are, not smoothed over time."""
    flip: bool = False
    """Average with the mirror image: a little better, half as fast."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Stop after this many frames of each video (or of a camera)."""
    device: Device = None
    """cpu, cuda, cuda:1, ...; by default a GPU if there is one."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """CPU threads."""
    model: Literal["network", "unified"] = "network"
    """The network alone; or 2D joints lifted to 3D and their actions (docs/unified.md)."""
    unified: UnifiedOptions = UnifiedOptions()

    def run(self) -> int:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit is a number of frames, 1 or more, got {self.limit}")
        import numpy as np

        from poseact.inference.jobs import Done, Job, Wanted, find_jobs, predict_job, run_jobs
        from poseact.inference.predictor import Predictor

        jobs = find_jobs(self.source)
        unified = self.unified.wanted(self.model, len(jobs), box=self.box is not None)

        def network() -> Predictor:
            return Predictor(
                self.weights,
                exit=self.exit,
                device=self.device,
                threads=self.threads,
                flip=self.flip,
                smooth=self.smooth,
                action_set=None if unified else 0,
            )

        predictor = self.unified.pipeline(network, self.device) if unified else network()
        wanted = Wanted(
            drawing=self.video,
            csv=self.csv,
            html=self.html,
            coco=self.coco,
            openpose=self.openpose,
            trc=self.trc,
            limit=self.limit,
        )
        box = None if self.box is None else np.array(self.box)
        with progress() as bars:

            def work(job: Job) -> Done:
                def watch(seen: Iterable[Any], count: int | None) -> Any:
                    return bars.track(seen, total=count, description=job.name)

                return predict_job(
                    predictor,
                    job,
                    self.out,
                    model="unified" if unified else self.weights,
                    box=box,
                    wanted=wanted,
                    watch=watch,
                )

            return run_jobs(jobs, work, console=Terminal())
