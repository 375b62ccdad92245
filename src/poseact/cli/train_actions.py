"""`poseact train actions`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from poseact.cli.options import Device, Out
from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class TrainActions:
    """Your own action classes from a folder of clips: root/CLASS/*.mp4, or a folder of pictures a
    clip. No annotation is needed.

    The poses stay those of the base model, only its action heads learn. Some clips of each class
    are held out by their names, or by folders root/train/CLASS and root/test/CLASS, and measured
    once. The same command again uses the boxes in the run's folder, which may be corrected.
    """

    root: Annotated[Path, arg(metavar="DIR")]
    """The folder of clips."""
    out: Out
    """Folder of the run: weights.safetensors, report.json, confusion.png, boxes.csv, ..."""
    data: Literal["folder"] = "folder"
    """How the clips are arranged."""
    weights: str = "spnet-s"
    """The base model: a shipped one or a weights file."""
    boxes: Annotated[Path | None, arg(metavar="FILE")] = None
    """Where the person is: CSV with the columns clip, x0, y0, x1, y1 and perhaps frame (px). In
    other clips the base model finds the person."""
    fps: float = 25.0
    """Frames a second of folders of pictures; videos say it themselves."""
    passes: int = 8
    """Clips taken from each video, each with another start and crop."""
    steps: int = 250
    """Of the training of the heads."""
    lr: float = 1e-3
    """Their learning rate."""
    mirror: Annotated[bool, arg(help_behavior_hint="")] = True
    """Do not learn from mirror images (as where the classes speak of left and right)."""
    seed: int = 0
    """Of everything random."""
    device: Device = None
    """cpu, cuda, ...; by default a GPU if there is one."""

    def run(self) -> int:
        from poseact.train.own.actions import Settings, train_actions

        settings = Settings(
            root=str(self.root),
            weights=self.weights,
            boxes=None if self.boxes is None else str(self.boxes),
            fps=self.fps,
            passes=self.passes,
            steps=self.steps,
            lr=self.lr,
            mirror=self.mirror,
            seed=self.seed,
        )
        report = train_actions(settings, self.out, device=self.device, console=Terminal())
        print("\n".join(report.lines()))
        print(f"poseact predict CLIP --weights {self.out / 'weights.safetensors'}")
        return 0
