"""A live source for minutes: memory must stay flat while it stalls, breaks and comes back.

python -m tests.soak.live [MINUTES]

The camera is a rendered scene of people that is played over and over at 25 frames a second. Every
ten seconds it stalls for a second, and later breaks. Memory after a fifth of the time is compared
with that at the end.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from poseact.inference.live_session import Progress, follow_live
from poseact.inference.predictor import Predictor
from poseact.media import capture as capturing
from poseact.media.pictures import Broken, Frame
from poseact.people.crowd import CROWD, render_crowd

GROWTH_MB = 30.0
FPS = 25.0


class Camera:
    """Stands in for a `VideoReader`: 25 frames a second, a stall, and after ten seconds the end."""

    live, fps = True, FPS

    def __init__(self, frames: np.ndarray) -> None:
        self._frames, self.size = frames, (frames.shape[2], frames.shape[1])

    def __iter__(self) -> Iterator[Frame]:
        for i, rgb in enumerate(itertools.islice(itertools.cycle(self._frames), 250)):
            time.sleep(1.0 if i == 120 else 1 / FPS)
            yield Frame(i, i / FPS, rgb)
        raise Broken("the camera gave no more")

    def close(self) -> None: ...


def memory_mb() -> float:
    """Memory of this process that is in use now; Linux."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("minutes", type=float, nargs="?", default=10.0)
    seconds = 60 * parser.parse_args().minutes
    scene = render_crowd(replace(CROWD, height=270, width=480, frames=40), 0, people=(3, 3))
    capturing.FIRST_WAIT_S = 0.2
    progress, begin, early_mb = Progress(), time.monotonic(), 0.0
    source = capturing.Capture(0, reopen=lambda _: Camera(scene.frames))  # type: ignore[arg-type]
    with source:
        for _ in follow_live(Predictor(), source, progress, fps=FPS):
            passed = time.monotonic() - begin
            if not early_mb and passed > seconds / 5:
                early_mb = memory_mb()
            if passed > seconds:
                break
    grown = memory_mb() - early_mb
    print(progress.line())
    print(f"{early_mb:.0f} MB after a fifth of the time, {grown:+.1f} MB until the end")
    return int(grown > GROWTH_MB)


if __name__ == "__main__":
    sys.exit(main())
