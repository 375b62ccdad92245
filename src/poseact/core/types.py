"""What travels between packages. Frozen dataclasses for people and frames, tensors for batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

import numpy as np

from poseact.core.angles import angle_deg
from poseact.core.layouts import Layout

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor
    from typing_extensions import NotRequired  # of typing from Python 3.11 on

NO_ACTION = -1
"""`ignore_index`: the class of a sample without an action."""


NO_TRACK = -1
"""`Person.track` where the file does not say who is who."""

COLUMNS = (
    *("frame", "time_s", "track", "joint", "x_px", "y_px", "score", "x_mm", "y_mm", "z_mm"),
    *("action", "action_probability"),
)
"""Of results as a table; the last two are the person's most probable action."""

LEAST_SCORE = 0.3
"""A joint that is less likely right gives no angle."""


@dataclass(frozen=True)
class Person:
    """One person in one frame.

    xy: (J, 2) px of the original frame. xyz: (J, 3) mm, root-relative, camera axes, or None.
    score: (J,) confidence 0..1. box: (4,) x0 y0 x1 y1 px. action: (A,) probabilities for the
    window that ends here, or None. filled: not seen in this frame, but in some before and after.
    root: (3,) mm of the root joint from the camera's centre, or None: xyz + root is in camera
    space. One picture does not tell it; it follows from an assumed stature and focal length.
    """

    xy: np.ndarray
    xyz: np.ndarray | None
    score: np.ndarray
    box: np.ndarray
    layout: Layout
    track: int = 0
    action: np.ndarray | None = None
    filled: bool = False
    root: np.ndarray | None = None

    def angle(self, name: str, *, of: Literal["xyz", "xy"] = "xyz") -> float:
        """A joint angle in degrees, 0 to 180, such as "l_knee"; NaN where a joint of it is unknown
        or has a score below `LEAST_SCORE`. KeyError for a name not of `core.angles.ANGLES`.

        of: "xyz" is the angle in space, "xy" the one in the picture, true only for what moves in a
        plane across the line of sight.
        """
        points = self.xyz if of == "xyz" else self.xy
        if points is None:
            points = np.full_like(self.xy, np.nan)
        seen = np.where((self.score >= LEAST_SCORE)[:, None], points, np.nan)
        return angle_deg(seen, self.layout, name)


@dataclass(frozen=True)
class Result:
    """One frame: everyone seen in it.

    labels: the names of `Person.action`. source: the file, URL or camera that `poseact.predict`
    took it from, "" elsewhere.
    """

    index: int
    time_s: float
    people: tuple[Person, ...]
    labels: tuple[str, ...] = ()
    source: str = ""

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """A row for each joint of each person, with the cells of `COLUMNS`; None where unknown."""
        for person in self.people:
            action, probability = self.best(person) or (None, None)
            where = self.index, self.time_s, int(person.track)
            xyz = np.full((len(person.xy), 3), np.nan) if person.xyz is None else person.xyz
            numbers = np.concatenate([person.xy, person.score[:, None], xyz], 1).tolist()
            for joint, cells in zip(person.layout.joints, numbers):
                known = [None if cell != cell else cell for cell in cells]  # NaN is not itself
                yield *where, joint, *known, action, probability

    def _repr_html_(self) -> str:
        """Who is in the frame, for notebooks; `results.drawn` shows the picture."""
        rows = []
        for person in self.people:
            best = self.best(person)
            act = f"{best[0]} {100 * best[1]:.0f} %" if best else ""
            box = ", ".join(f"{edge:.0f}" for edge in person.box)
            rows.append((str(person.track), box, f"{person.score.mean():.2f}", act))
        head = "".join(f"<th>{name}</th>" for name in ("track", "box, px", "score", "action"))
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        title = f"frame {self.index}, {self.time_s:.2f} s: {len(self.people)} people"
        return f"<table><caption>{title}</caption><tr>{head}</tr>{body}</table>"

    def best(self, person: Person) -> tuple[str, float] | None:
        """Somebody's most probable action and its probability; None where there is none."""
        if person.action is None or not np.isfinite(person.action).any():
            return None
        best = int(np.nanargmax(person.action))
        return self.labels[best], float(person.action[best])

    def to_pandas(self) -> DataFrame:
        """The rows as a table; of a whole file see `results.read`."""
        import pandas

        return pandas.DataFrame.from_records(list(self.rows()), columns=list(COLUMNS))


@dataclass(frozen=True)
class Keypoints:
    """Frames of people without 3D. fps and size (width, height) px: None where the file has none.

    Frames where nobody was seen may be absent; `Result.index` counts them all the same.
    """

    results: tuple[Result, ...]
    layout: Layout
    fps: float | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Camera:
    """Pinhole camera with Human3.6M distortion.

    R: (3, 3) world to camera, t: (3,) camera centre in the world (mm), f: (2,) px, c: (2,) px,
    k: (3,) radial, p: (2,) tangential coefficients.
    """

    R: np.ndarray
    t: np.ndarray
    f: np.ndarray
    c: np.ndarray
    k: np.ndarray
    p: np.ndarray


@dataclass(frozen=True)
class Record:
    """One annotated person over T frames, without its pixels.

    frame: reads frame t as uint8 RGB (H, W, 3), None where there are no pictures. xy: (T, J, 2) px,
    NaN unknown. xyz: (T, J, 3) mm in camera axes, or None. visible: (T, J) or None. box: (T, 4) px,
    just around the person, or None. camera: None if unknown. scale_px: (T,) head size for PCKh, or
    None. weight: (T, J, 3) how much x, y and depth of a label count in training, 0 for unknown;
    None is 1 everywhere.
    """

    frame: Callable[[int], np.ndarray] | None
    xy: np.ndarray
    layout: Layout
    xyz: np.ndarray | None = None
    visible: np.ndarray | None = None
    box: np.ndarray | None = None
    camera: Camera | None = None
    action: int | None = None
    source: str = ""
    subject: str = ""
    view: str = ""
    scale_px: np.ndarray | None = None
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.xy)


class Sample(TypedDict):
    """Tensors of one clip; a batch has B in front.

    frames (T, 3, H, W) in [-1, 1]; pose (T, J, 3) u v d, NaN unknown; valid (T, J, 3) bool;
    inside (T, J) bool; action () long, NO_ACTION if none; to_image (T, 3, 3) crop uv -> px. weight
    (T, J, 3): of labels that are not all trusted alike.
    """

    frames: Tensor
    pose: Tensor
    valid: Tensor
    inside: Tensor
    action: Tensor
    to_image: Tensor
    weight: NotRequired[Tensor]


class Output(NamedTuple):
    """What every model that sees pixels returns.

    poses: one (B, T, J, D) u v [d] per block, the last is the answer. scores: (B, T, J) per block.
    actions: one tuple per action block with one (B, A) logits per action set; empty for stills.
    heatmaps: (B, T, J, h, w) logits per block.
    """

    poses: list[Tensor]
    scores: list[Tensor]
    actions: list[tuple[Tensor, ...]]
    heatmaps: list[Tensor]
