"""`poseact live`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from poseact.cli.options import Device, Exit, people_count
from poseact.cli.terminal import Terminal
from poseact.core.files import check_not_input


@dataclass(frozen=True)
class Live:
    """Everyone before a camera or in a live stream, as it happens, until Ctrl-C."""

    source: Annotated[Positional[str], arg(metavar="IN")] = "0"
    """Number of a camera, URL of a stream, or a video file with --as-camera."""
    as_camera: bool = False
    """Play a file at its own rate, as if it were a camera."""
    fps: Annotated[float | None, arg(metavar="N")] = None
    """Answer so many frames a second: the network stops as early as that takes here, for as many
    people as there are, and goes deeper when there is time."""
    window: bool = False
    """Show it in a window (Esc closes it)."""
    record: Annotated[Path | None, arg(metavar="FILE.mp4")] = None
    """Write what is drawn, and beside it FILE.jsonl with the results."""
    weights: str = "spnet-s"
    """A shipped model (see `poseact models`), a weights file or an exported one (.onnx)."""
    exit: Exit = None
    """Stop at this prediction block; with --fps, never go deeper."""
    people: Annotated[str, arg(metavar="all|one|N")] = "all"
    """How many people to follow at most; the largest."""
    smooth: Annotated[bool, arg(help_behavior_hint="")] = True
    """Leave the poses as they are, not smoothed over time."""
    flip: bool = False
    """Average with the mirror image: a little better, half as fast."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Stop after this many answered frames."""
    height: Annotated[float, arg(metavar="M")] = 1.7
    """Stature of the people in metres: the scale of their 3D poses."""
    focal: Annotated[float | None, arg(metavar="PX")] = None
    """Focal length of the camera in px; by default 1.2 times the longer side of the frame."""
    device: Device = None
    """cpu, cuda, cuda:1, ...; by default a GPU if there is one."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """CPU threads."""
    runtime: Literal["torch", "onnx", "openvino"] | None = None
    """Who runs the networks: on a CPU ONNX Runtime, if it is installed and can (see `poseact
    doctor`), and otherwise PyTorch."""

    def run(self) -> int:
        if self.fps is not None and not 0 < self.fps < 1000:
            raise ValueError(f"--fps is frames a second, more than 0, got {self.fps}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit is a number of frames, 1 or more, got {self.limit}")
        if self.record is not None and self.record.suffix.lower() != ".mp4":
            raise ValueError(f"--record writes an .mp4, got {self.record}")
        if self.record is not None:
            check_not_input(self.record, self.source)
        from poseact.inference.live_session import watch_live
        from poseact.inference.predictor import Predictor
        from poseact.media.capture import Capture
        from poseact.media.window import Window

        console = Terminal()
        people = people_count(self.people)
        with Capture(self.source, as_camera=self.as_camera, console=console) as capture:
            window = Window(f"poseact {self.source}") if self.window else None
            predictor = Predictor(
                self.weights,
                exit=self.exit,
                device=self.device,
                threads=self.threads,
                flip=self.flip,
                smooth=self.smooth,
                people=people,
                focal_px=self.focal,
                height_m=self.height,
                runtime=self.runtime,
            )
            progress = watch_live(
                predictor,
                capture,
                fps=self.fps,
                record=self.record,
                model=self.weights,
                window=window,
                limit=self.limit,
                console=console,
            )
        console.say(progress.line())
        if self.fps is not None and progress.seconds > 0 and progress.frames > self.fps:
            rate = progress.frames / progress.seconds
            if rate < 0.9 * min(self.fps, capture.fps):
                console.say(f"this machine answers {rate:.1f} frames a second at the first exit")
        return 0
