"""`poseact refine`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from poseact.cli.options import Out
from poseact.cli.terminal import Terminal
from poseact.core.forms import Forms


@dataclass(frozen=True)
class Refine:
    """Results of a recorded video, refined without the network: zero-phase filter, gaps, bones."""

    source: Annotated[Positional[Path], arg(metavar="IN.jsonl")]
    """What `poseact predict --no-smooth` or `poseact lift` wrote."""
    out: Out
    """The results to write (NAME.jsonl)."""
    filter: Literal["butterworth", "savgol", "none"] = "butterworth"
    """Butterworth both ways, a parabola through every window (Savitzky-Golay), or neither."""
    cutoff: float = 6.0
    """Hz, of the Butterworth filter: lower is smoother."""
    window: float = 0.25
    """Seconds, of Savitzky-Golay: longer is smoother."""
    gaps: float = 0.0
    """Fill gaps of at most so many seconds in which somebody was not seen; marked `filled`."""
    constant_bones: bool = False
    """Everyone's bones keep one length, the median."""
    draw: Annotated[Path | None, arg(metavar="VIDEO")] = None
    """Also draw them on the video that they were made of: NAME.mp4."""
    forms: Forms = Forms()

    def run(self) -> int:
        from poseact.inference.jobs import Done, Job, Wanted, run_jobs
        from poseact.inference.refine_files import refine_job
        from poseact.results.filters import butterworth, savitzky_golay

        smooth = {
            "butterworth": lambda: butterworth(self.cutoff),
            "savgol": lambda: savitzky_golay(self.window),
            "none": lambda: None,
        }[self.filter]()
        if not 0 <= self.gaps < 60:
            raise ValueError(f"--gaps is seconds, 0 to 60, got {self.gaps}")
        wanted = Wanted(drawing=self.draw is not None, **asdict(self.forms))

        def work(job: Job) -> Done:
            return refine_job(
                self.source,
                self.out,
                smooth=smooth,
                gaps_s=self.gaps,
                constant=self.constant_bones,
                video=self.draw,
                wanted=wanted,
            )

        job = Job(str(self.source), "keypoints", self.out.stem)
        return run_jobs([job], work, console=Terminal())
