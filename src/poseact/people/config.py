"""Which people to render: presets of difficulty and the configuration of a set of clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from poseact.people.motions import ACTIONS

Preset = Literal["easy", "standard", "hard"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[str, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Difficulty:
    """What a preset sets. Pairs are ranges; shares are of clips."""

    view_deg: float  # camera azimuth within +- this of the person's front
    roll_deg: float  # standard deviation of the camera's roll
    off_axis_deg: float  # largest angle between the optical axis and the person
    loose: tuple[float, float]  # times PeopleConfig.margin
    shift: float  # standard deviation of the crop's centre, in crops
    truncated: float  # share of crops that cut the person
    kinds: tuple[float, float, float]  # shares of pictures, rooms, open grounds
    furniture: tuple[int, int]  # pieces, inclusive
    occluder: float  # share of clips with a box in front of the person
    distractor: float  # share of clips with a second person
    sensor: float  # strength of the camera's defects, 0..1


PRESETS: dict[str, Difficulty] = {
    "easy": Difficulty(
        view_deg=70, roll_deg=0, off_axis_deg=0, loose=(0.95, 1.05), shift=0.01, truncated=0,
        kinds=(0.4, 0.35, 0.25), furniture=(0, 1), occluder=0, distractor=0, sensor=0.15,
    ),
    "standard": Difficulty(
        view_deg=180, roll_deg=7, off_axis_deg=5, loose=(0.92, 1.2), shift=0.03, truncated=0.03,
        kinds=(0.4, 0.3, 0.3), furniture=(0, 4), occluder=0.06, distractor=0.1, sensor=0.5,
    ),
    "hard": Difficulty(
        view_deg=180, roll_deg=12, off_axis_deg=20, loose=(0.88, 1.35), shift=0.06, truncated=0.2,
        kinds=(0.45, 0.3, 0.25), furniture=(1, 8), occluder=0.25, distractor=0.3, sensor=1.0,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class PeopleConfig:
    """Which clips to render.

    ``margin`` is the side of the crop over the extent of the joints. ``crop`` "clip" frames the
    whole clip with one fixed camera, "frame" each frame on its own (for stills).
    Raises ValueError for values that cannot be rendered.
    """

    height: int = 128  # px
    width: int = 128
    frames: int = 8
    fps: float = 12.0
    preset: Preset = "standard"
    split: Split = "train"
    seed: int = 0
    layout: str = "PA17"
    actions: tuple[str, ...] = ACTIONS
    random_pose: float = 0.0  # share of clips whose every frame is another pose; action -1
    mocap: str | None = None  # folder of motion capture (*.npz); action -1
    mocap_share: float = 0.3  # of the clips that are not random poses
    bodies: str | None = None  # makehuman.npz: half of the people are meshes
    backgrounds: str | None = None  # folder of photos, used beside made backgrounds
    margin: float = 1.25
    supersample: int = 2  # samples a pixel, per axis
    crop: Literal["clip", "frame"] = "clip"

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"no preset {self.preset!r}; there are {', '.join(PRESETS)}")
        if self.split not in SPLITS:
            raise ValueError(f"no split {self.split!r}; there are {', '.join(SPLITS)}")
        if min(self.height, self.width) < 16 or self.frames < 1 or self.supersample < 1:
            raise ValueError(
                f"got {self.frames} frames of {self.width}x{self.height} px with supersample "
                f"{self.supersample}; give at least 1 frame, 16x16 px and supersample 1"
            )
        unknown = [name for name in self.actions if name not in ACTIONS]
        if unknown or not self.actions:
            raise ValueError(f"no actions {unknown}; choose some of {', '.join(ACTIONS)}")
