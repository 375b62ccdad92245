"""A long video, predicted with all its tables: memory must stay flat.

python -m tests.soak.long [FRAMES]

A rendered scene of one person is played over and over to the smallest network. Memory after a fifth
of the frames is compared with that at the last one, and with that after the tables are written.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from poseact.inference.jobs import Wanted, find_jobs, predict_job
from poseact.inference.predictor import Predictor
from poseact.media.video import VideoWriter
from poseact.people.crowd import CROWD, render_crowd
from tests.soak.live import GROWTH_MB, memory_mb

ALL = Wanted(
    csv=True, coco=True, trc=True, bvh=True, actions=True, angles=True, repetitions=True, srt=True
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("frames", type=int, nargs="?", default=20_000)
    count = parser.parse_args().frames
    scene = render_crowd(replace(CROWD, height=180, width=320, frames=40), 0, people=(1, 1))
    memory: list[float] = []
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        with VideoWriter(path, fps=25.0, size=(320, 180)) as video:
            for i, rgb in enumerate(itertools.islice(itertools.cycle(scene.frames), count)):
                video.write(rgb, time_s=i / 25)

        def watched(seen: Any, total: int | None) -> Iterator[Any]:
            for i, frame in enumerate(seen):
                if i % 100 == 0:
                    memory.append(memory_mb())
                yield frame

        (job,) = find_jobs(str(path))
        out = Path(folder) / "out"
        predict_job(
            Predictor("spnet-light"), job, out, model="spnet-light", wanted=ALL, watch=watched
        )
        after_mb = memory_mb()
        size_mb = sum(p.stat().st_size for p in out.iterdir()) / 2**20
    early_mb, grown = memory[len(memory) // 5], memory[-1] - memory[len(memory) // 5]
    print(
        f"{count} frames in {time.monotonic() - begin:.0f} s: {early_mb:.0f} MB after a fifth, "
        f"{grown:+.1f} MB until the last, {after_mb - early_mb:+.1f} MB with the tables "
        f"({size_mb:.0f} MB of files)"
    )
    return int(grown > GROWTH_MB)


if __name__ == "__main__":
    sys.exit(main())
