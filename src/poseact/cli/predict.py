"""`poseact predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from poseact import __version__
from poseact.cli.options import Box, Device, Exit, Out, people_count
from poseact.cli.terminal import Terminal, progress
from poseact.cli.unified import UnifiedOptions
from poseact.core.forms import Forms

if TYPE_CHECKING:
    from rich.progress import Progress

    from poseact.inference.jobs import Done, Job, Outcome


@dataclass(frozen=True)
class Predict:
    """Poses and actions of pictures, videos, folders, globs, a URL or a camera."""

    source: Annotated[Positional[tuple[str, ...]], arg(metavar="IN [IN ...]")]
    """Files, folders, "globs"; or one URL, or the number of a camera."""
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
    """CPU threads; of each process, if there are several."""
    jobs: Annotated[int, arg(aliases=["-j"], metavar="N")] = 1
    """Work on so many files at once, each in a process of its own."""
    resume: bool = False
    """Leave out inputs that were finished before with these settings."""
    runtime: Literal["torch", "onnx", "openvino"] | None = None
    """Who runs the networks: on a CPU ONNX Runtime, if it is installed and can (see `poseact
    doctor`), and otherwise PyTorch."""
    model: Literal["network", "unified"] = "network"
    """The network alone; or 2D joints lifted to 3D and their actions (see
    docs/explanation/unified.md)."""
    forms: Forms = Forms()
    unified: UnifiedOptions = UnifiedOptions()

    def run(self) -> int:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit is a number of frames, 1 or more, got {self.limit}")
        if self.jobs < 1:
            raise ValueError(f"-j is a number of processes, 1 or more, got {self.jobs}")
        from poseact.inference.fleet import Ledger, parallel
        from poseact.inference.jobs import Done, find_jobs, report, tried

        console = Terminal()
        jobs = find_jobs(*self.source, console=console)
        inputs = len(jobs)
        self._unified(inputs)
        ledger = Ledger(self.out, self._settings()) if self.resume and not jobs[0].live else None
        if ledger is not None:
            finished = [job for job in jobs if ledger.has(job)]
            jobs = [job for job in jobs if job not in finished]
            if finished:
                console.say(f"{len(finished)} inputs are finished already, {len(jobs)} are not")
            if not jobs:
                return 0

        def outcomes() -> Iterator[tuple[Job, Outcome]]:
            if self.jobs > 1 and len(jobs) > 1:
                start = partial(_in_process, self, inputs)
                yield from parallel(jobs, start, workers=min(self.jobs, len(jobs)))
                return
            with progress() as bars:
                work = self._work(inputs, bars)
                yield from ((job, tried(work, job)) for job in jobs)

        def noted() -> Iterator[tuple[Job, Outcome]]:
            for job, outcome in outcomes():
                if ledger is not None and isinstance(outcome, Done) and not outcome.broken:
                    ledger.add(job, outcome)
                yield job, outcome

        return report(noted(), len(jobs), console=console)

    def _unified(self, inputs: int) -> bool:
        """Whether the unified framework answers; ValueError for options that do not fit."""
        return self.unified.wanted(
            self.model, inputs, box=self.box is not None, rtmlib=self.detector == "rtmlib"
        )

    def _settings(self) -> str:
        """All that results depend on, beside the input."""
        from poseact.inference.fleet import content
        from poseact.models.cards import available

        still = replace(self, source=(), out=Path(), threads=None, jobs=1, resume=False)
        files = [self.weights, self.detector, self.unified.classifier, self.unified.lifter]
        files += [self.unified.keypoints]
        shipped = available()
        paths = [shipped.get(str(file), Path(file)) for file in files if file is not None]
        held = [content(path) for path in paths if path.exists()]
        return f"{__version__} {still} {held}"

    def _work(self, inputs: int, bars: Progress | None = None) -> Callable[[Job], Done]:
        """The work with one of so many inputs; makes the predictor."""
        import numpy as np

        from poseact.inference.jobs import Wanted, predict_job
        from poseact.inference.predictor import Predictor

        unified = self._unified(inputs)

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
                people=people_count(self.people),
                detector=_detector(self.detector, self.device, inputs),
                action_set=None if unified else 0,
                runtime=self.runtime,
            )

        if unified:
            rtmlib = self.detector == "rtmlib"
            predictor = self.unified.pipeline(network, self.device, rtmlib=rtmlib)
        else:
            predictor = network()
        wanted = Wanted(
            drawing=self.video, fill_gaps=self.fill_gaps, limit=self.limit, **asdict(self.forms)
        )
        model = "unified" if unified else self.weights
        box = None if self.box is None else np.array(self.box)

        def work(job: Job) -> Done:
            def watch(seen: Any, count: int | None) -> Any:
                return bars.track(seen, total=count, description=job.name) if bars else seen

            return predict_job(
                predictor, job, self.out, model=model, box=box, wanted=wanted, watch=watch
            )

        return work


def _in_process(command: Predict, inputs: int) -> Callable[[Job], Done]:
    """The work of one of several processes, which share the cores."""
    from poseact.core.machine import usable_cores

    threads = command.threads or max(usable_cores() // command.jobs, 1)
    return replace(command, threads=threads)._work(inputs)


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
