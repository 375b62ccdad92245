"""`poseact bench`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class Bench:
    """How fast this machine is: networks, exits, runtimes, and the stages of a video."""

    video: Annotated[Positional[str | None], arg(metavar="[IN]")] = None
    """A video whose stages are measured, too, with the first of the weights."""
    weights: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ()
    """Shipped models or weights files; by default all shipped ones."""
    exits: bool = False
    """Also the networks cut at every exit (in PyTorch)."""
    rounds: Annotated[int, arg(metavar="N")] = 20
    """Times that each is measured, in turns."""
    limit: Annotated[int, arg(metavar="N")] = 300
    """Frames of the video."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """CPU threads."""
    json: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the rows as JSON, too."""

    def run(self) -> int:
        if min(self.rounds, self.limit) < 1:
            raise ValueError(f"--rounds and --limit are 1 or more, got {self.rounds}, {self.limit}")
        import json

        from poseact.cli.doctor import diagnose
        from poseact.core.files import write_text
        from poseact.evaluate.speed import crop_times, memory_mb, networks, stages

        weights = self.weights or tuple(networks())
        rows = crop_times(
            weights,
            exits=self.exits,
            rounds=self.rounds,
            threads=self.threads,
            console=Terminal(),
        )
        print("network       exit  runtime   batch    least   median   95 %   ms a crop")
        for r in rows:
            print(
                f"{Path(r.weights).stem:14}{r.exit or 'all':6}{r.runtime:10}{r.batch:5}"
                f"{r.least_ms:9.1f}{r.median_ms:9.1f}{r.p95_ms:7.1f}"
            )
        rates = []
        if self.video is not None:
            rates = stages(self.video, weights[0], limit=self.limit, threads=self.threads)
            print(f"\n{self.video}, {weights[0]}: frames a second")
            for stage in rates:
                print(f"{stage.stage:32}{stage.frames_per_s:8.1f}")
        most = memory_mb()
        if most is not None:
            print(f"\nmemory: at most {most:.0f} MB, of all that was measured")
        if self.json is not None:
            machine = dict(row for row in diagnose() if not row[0].startswith("extra"))
            found = {"machine": machine, "crops": [asdict(r) for r in rows]}
            found |= {"video": self.video, "stages": [asdict(s) for s in rates], "memory_mb": most}
            write_text(self.json, json.dumps(found, indent=1) + "\n")
        return 0
