"""`poseact predict`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from poseact.cli.options import Box, Device, Exit, Forms, Out, people_count
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
    """A shipped model (see `poseact models`), a weights file or an exported one (.onnx)."""
    exit: Exit = None
    """Stop at this prediction block: faster, less exact."""
    people: Annotated[str, arg(metavar="all|one|N")] = "all"
    """How many people to follow at most; the largest."""
    box: Box = None
    """Where the one person to follow is (at the start), in px."""
    detector: Annotated[str, arg(metavar="people|rtmlib|none|FILE.csv")] = "people"
    """Who finds people: the shipped detector, RTMPose's (an extra), a file with boxes (frame, x0,
    y0, x1, y1 and perhaps score); or nobody, then there is one person, who fills the picture or the
    --box."""
    video: Annotated[bool, arg(help_behavior_hint="")] = True
    """Leave the annotated picture or video out."""
    smooth: Annotated[bool, arg(help_behavior_hint="")] = True
    """Leave the poses of a video as they are, not smoothed over time."""
    fill_gaps: bool = False
    """Fill gaps of at most 0.4 s in which somebody was not seen; marked `filled`, drawn faintly."""
    flip: bool = False
    """Average with the mirror image: a little better, half as fast."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Stop after this many frames of each video (or of a camera)."""
    height: Annotated[float, arg(metavar="M")] = 1.7
    """Stature of the people in metres: the scale of their 3D poses."""
    focal: Annotated[float | None, arg(metavar="PX")] = None
    """Focal length of the camera in px; by default 1.2 times the longer side of the frame."""
    device: Device = None
    """cpu, cuda, cuda:1, ...; by default a GPU if there is one."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """CPU threads."""
    runtime: Literal["onnx", "openvino"] | None = None
    """Who runs a file that `poseact export` has written: ONNX Runtime unless told otherwise."""
    model: Literal["network", "unified"] = "network"
    """The network alone; or 2D joints lifted to 3D and their actions (see
    docs/explanation/unified.md)."""
    forms: Forms = Forms()
    unified: UnifiedOptions = UnifiedOptions()

    def run(self) -> int:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit is a number of frames, 1 or more, got {self.limit}")
        import numpy as np

        from poseact.inference.jobs import Done, Job, Wanted, find_jobs, predict_job, run_jobs
        from poseact.inference.predictor import Predictor

        jobs = find_jobs(self.source, console=Terminal())
        rtmlib = self.detector == "rtmlib"
        unified = self.unified.wanted(
            self.model, len(jobs), box=self.box is not None, rtmlib=rtmlib
        )
        people = people_count(self.people)

        def network() -> Predictor:
            return Predictor(
                self.weights,
                exit=self.exit,
                device=self.device,
                threads=self.threads,
                flip=self.flip,
                smooth=self.smooth,
                focal_px=self.focal,
                height_m=self.height,
                people=people,
                detector=_detector(self.detector, self.device, len(jobs)),
                action_set=None if unified else 0,
                runtime=self.runtime,
            )

        if unified:
            predictor = self.unified.pipeline(network, self.device, rtmlib=rtmlib)
        else:
            predictor = network()
        wanted = Wanted(
            drawing=self.video, fill_gaps=self.fill_gaps, limit=self.limit, **asdict(self.forms)
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


def _detector(name: str, device: str | None, inputs: int) -> Any:
    if name in ("people", "none"):
        return name
    if name == "rtmlib":
        from poseact.inference.keypoint_sources import RTMLib

        return RTMLib(device=device or "cpu").boxes
    if Path(name).suffix.lower() != ".csv":
        raise ValueError(f"--detector is people, rtmlib, none or a .csv of boxes, got {name}")
    if inputs != 1:
        raise ValueError(f"{name} has the boxes of one video; there are {inputs} inputs")
    from poseact.inference.box_file import BoxFile

    return BoxFile(name)
