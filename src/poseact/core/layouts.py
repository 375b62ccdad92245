"""Joint layouts: which joints, in which order, hanging from which parent; conversion by joint name.

Names follow MPII: `head` is the top of the head, `neck` the upper neck (base of the skull),
`thorax` the base of the neck between the shoulders, `pelvis` the middle of the hips. A layout in
which a name means something else says so beside its table. The original project's index tables are
kept verbatim, apart from all this, in `DEEPHAR_INDEX`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# A joint that a layout lacks may be the mean of joints it has; in each pose the first recipe wins
# whose joints are known.
DERIVED: dict[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("l_hip", "r_hip"),),
    "thorax": (("l_shoulder", "r_shoulder"),),
    "neck": (("thorax",), ("l_shoulder", "r_shoulder")),
    "spine": (("pelvis", "thorax"),),
}


@dataclass(frozen=True)
class Layout:
    """Names and tree of a skeleton; `parents[j]` is the index of joint j's parent, -1 for none."""

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.joints) != len(self.parents):
            raise ValueError(
                f"layout {self.name}: {len(self.joints)} joints but {len(self.parents)} parents"
            )
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"layout {self.name}: a joint name stands twice")

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Index of a joint; ValueError names the layout and what it has."""
        if joint not in self.joints:
            raise ValueError(f"layout {self.name} has no joint {joint!r}; it has {self.joints}")
        return self.joints.index(joint)

    @cached_property
    def root(self) -> int:
        return self.parents.index(-1)

    @cached_property
    def flip(self) -> tuple[int, ...]:
        """For each joint the index of its left/right twin (itself on the middle line)."""
        return tuple(self.joints.index(_twin(j)) for j in self.joints)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs (parent, child)."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    def side(self, j: int) -> str:
        """'l', 'r' or 'm' for the middle."""
        return self.joints[j][0] if self.joints[j][:2] in ("l_", "r_") else "m"


def _twin(joint: str) -> str:
    return {"l_": "r_", "r_": "l_"}.get(joint[:2], joint[:2]) + joint[2:]


def _layout(name: str, tree: str) -> Layout:
    """From 'joint<parent' words; the root has no '<'."""
    words = [w.split("<") for w in tree.split()]
    names = [w[0] for w in words]
    parents = tuple(names.index(w[1]) if len(w) == 2 else -1 for w in words)
    return Layout(name, tuple(names), parents)


PA16 = _layout(
    "PA16",
    "pelvis thorax<pelvis neck<thorax head<neck r_shoulder<thorax l_shoulder<thorax "
    "r_elbow<r_shoulder l_elbow<l_shoulder r_wrist<r_elbow l_wrist<l_elbow r_hip<pelvis "
    "l_hip<pelvis r_knee<r_hip l_knee<l_hip r_ankle<r_knee l_ankle<l_knee",
)
PA17 = _layout(
    "PA17",
    "pelvis thorax<spine neck<thorax head<neck r_shoulder<thorax l_shoulder<thorax "
    "r_elbow<r_shoulder l_elbow<l_shoulder r_wrist<r_elbow l_wrist<l_elbow r_hip<pelvis "
    "l_hip<pelvis r_knee<r_hip l_knee<l_hip r_ankle<r_knee l_ankle<l_knee spine<pelvis",
)
_PA20 = (
    " neck<thorax head<neck r_shoulder<thorax l_shoulder<thorax r_elbow<r_shoulder "
    "l_elbow<l_shoulder r_wrist<r_elbow l_wrist<l_elbow r_hand<r_wrist l_hand<l_wrist r_hip<pelvis "
    "l_hip<pelvis r_knee<r_hip l_knee<l_hip r_ankle<r_knee l_ankle<l_knee r_foot<r_ankle "
    "l_foot<l_ankle"
)
PA20 = _layout("PA20", "pelvis thorax<pelvis" + _PA20)
PA21 = _layout("PA21", "pelvis thorax<spine" + _PA20 + " spine<pelvis")
MPII16 = _layout(
    "MPII16",
    "r_ankle<r_knee r_knee<r_hip r_hip<pelvis l_hip<pelvis l_knee<l_hip l_ankle<l_knee pelvis "
    "thorax<pelvis neck<thorax head<neck r_wrist<r_elbow r_elbow<r_shoulder r_shoulder<thorax "
    "l_shoulder<thorax l_elbow<l_shoulder l_wrist<l_elbow",
)
# The neck of LSP lies a little lower than MPII's upper neck.
LSP14 = _layout(
    "LSP14",
    "r_ankle<r_knee r_knee<r_hip r_hip<neck l_hip<neck l_knee<l_hip l_ankle<l_knee "
    "r_wrist<r_elbow r_elbow<r_shoulder r_shoulder<neck l_shoulder<neck l_elbow<l_shoulder "
    "l_wrist<l_elbow neck head<neck",
)
PENN13 = _layout(
    "PENN13",
    "head r_shoulder<head l_shoulder<head r_elbow<r_shoulder l_elbow<l_shoulder r_wrist<r_elbow "
    "l_wrist<l_elbow r_hip<r_shoulder l_hip<l_shoulder r_knee<r_hip l_knee<l_hip r_ankle<r_knee "
    "l_ankle<l_knee",
)
JHMDB15 = _layout(
    "JHMDB15",
    "neck belly<neck face<neck r_shoulder<neck l_shoulder<neck r_hip<belly l_hip<belly "
    "r_elbow<r_shoulder l_elbow<l_shoulder r_knee<r_hip l_knee<l_hip r_wrist<r_elbow "
    "l_wrist<l_elbow r_ankle<r_knee l_ankle<l_knee",
)
H36M17 = _layout(
    "H36M17",
    "pelvis r_hip<pelvis r_knee<r_hip r_ankle<r_knee l_hip<pelvis l_knee<l_hip l_ankle<l_knee "
    "spine<pelvis thorax<spine nose<thorax head<nose l_shoulder<thorax l_elbow<l_shoulder "
    "l_wrist<l_elbow r_shoulder<thorax r_elbow<r_shoulder r_wrist<r_elbow",
)
# Kinect v2. `head` is the middle of the head here.
NTU25 = _layout(
    "NTU25",
    "pelvis spine<pelvis neck<thorax head<neck l_shoulder<thorax l_elbow<l_shoulder "
    "l_wrist<l_elbow l_hand<l_wrist r_shoulder<thorax r_elbow<r_shoulder r_wrist<r_elbow "
    "r_hand<r_wrist l_hip<pelvis l_knee<l_hip l_ankle<l_knee l_foot<l_ankle r_hip<pelvis "
    "r_knee<r_hip r_ankle<r_knee r_foot<r_ankle thorax<spine l_hand_tip<l_hand l_thumb<l_wrist "
    "r_hand_tip<r_hand r_thumb<r_wrist",
)
# Kinect v1. Sources disagree on left and right of MSR Action3D; `head` is the middle of the head.
MSR20 = _layout(
    "MSR20",
    "r_shoulder<thorax l_shoulder<thorax thorax<spine spine<pelvis r_hip<pelvis l_hip<pelvis "
    "pelvis r_elbow<r_shoulder l_elbow<l_shoulder r_wrist<r_elbow l_wrist<l_elbow r_hand<r_wrist "
    "l_hand<l_wrist r_knee<r_hip l_knee<l_hip r_ankle<r_knee l_ankle<l_knee r_foot<r_ankle "
    "l_foot<l_ankle head<thorax",
)
UTD20 = _layout(
    "UTD20",
    "head<thorax thorax<spine spine<pelvis pelvis l_shoulder<thorax l_elbow<l_shoulder "
    "l_wrist<l_elbow l_hand<l_wrist r_shoulder<thorax r_elbow<r_shoulder r_wrist<r_elbow "
    "r_hand<r_wrist l_hip<pelvis l_knee<l_hip l_ankle<l_knee l_foot<l_ankle r_hip<pelvis "
    "r_knee<r_hip r_ankle<r_knee r_foot<r_ankle",
)
SBU15 = _layout(
    "SBU15",
    "head<thorax thorax<spine spine l_shoulder<thorax l_elbow<l_shoulder l_hand<l_elbow "
    "r_shoulder<thorax r_elbow<r_shoulder r_hand<r_elbow l_hip<spine l_knee<l_hip l_foot<l_knee "
    "r_hip<spine r_knee<r_hip r_foot<r_knee",
)
COCO17 = _layout(
    "COCO17",
    "nose l_eye<nose r_eye<nose l_ear<l_eye r_ear<r_eye l_shoulder<nose r_shoulder<nose "
    "l_elbow<l_shoulder r_elbow<r_shoulder l_wrist<l_elbow r_wrist<r_elbow l_hip<l_shoulder "
    "r_hip<r_shoulder l_knee<l_hip r_knee<r_hip l_ankle<l_knee r_ankle<r_knee",
)
OPENPOSE25 = _layout(
    "OPENPOSE25",
    "nose<thorax thorax<pelvis r_shoulder<thorax r_elbow<r_shoulder r_wrist<r_elbow "
    "l_shoulder<thorax l_elbow<l_shoulder l_wrist<l_elbow pelvis r_hip<pelvis r_knee<r_hip "
    "r_ankle<r_knee l_hip<pelvis l_knee<l_hip l_ankle<l_knee r_eye<nose l_eye<nose r_ear<r_eye "
    "l_ear<l_eye l_big_toe<l_ankle l_small_toe<l_big_toe l_heel<l_ankle r_big_toe<r_ankle "
    "r_small_toe<r_big_toe r_heel<r_ankle",
)

# Of files of 2D joints that other programs write; no network here gives them.
OPENPOSE18 = _layout(
    "OPENPOSE18",
    "nose<thorax thorax r_shoulder<thorax r_elbow<r_shoulder r_wrist<r_elbow l_shoulder<thorax "
    "l_elbow<l_shoulder l_wrist<l_elbow r_hip<thorax r_knee<r_hip r_ankle<r_knee l_hip<thorax "
    "l_knee<l_hip l_ankle<l_knee r_eye<nose l_eye<nose r_ear<r_eye l_ear<l_eye",
)
OPENPOSE15 = _layout(
    "OPENPOSE15",
    "head<thorax thorax r_shoulder<thorax r_elbow<r_shoulder r_wrist<r_elbow l_shoulder<thorax "
    "l_elbow<l_shoulder l_wrist<l_elbow r_hip<spine r_knee<r_hip r_ankle<r_knee l_hip<spine "
    "l_knee<l_hip l_ankle<l_knee spine<thorax",
)
HALPE26 = _layout(
    "HALPE26",
    "nose<thorax l_eye<nose r_eye<nose l_ear<l_eye r_ear<r_eye l_shoulder<thorax "
    "r_shoulder<thorax l_elbow<l_shoulder r_elbow<r_shoulder l_wrist<l_elbow r_wrist<r_elbow "
    "l_hip<pelvis r_hip<pelvis l_knee<l_hip r_knee<r_hip l_ankle<l_knee r_ankle<r_knee head<nose "
    "thorax<pelvis pelvis l_big_toe<l_ankle r_big_toe<r_ankle l_small_toe<l_big_toe "
    "r_small_toe<r_big_toe l_heel<l_ankle r_heel<r_ankle",
)

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        PA16,
        PA17,
        PA20,
        PA21,
        MPII16,
        LSP14,
        PENN13,
        JHMDB15,
        H36M17,
        NTU25,
        MSR20,
        UTD20,
        SBU15,
        COCO17,
        OPENPOSE25,
    )
}


def layout_named(name: str) -> Layout:
    """The layout of that name; ValueError lists the names there are."""
    if name not in LAYOUTS:
        raise ValueError(f"no layout {name!r}; there are {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def convert(pose: np.ndarray, source: Layout, target: Layout, *, derive: bool = True) -> np.ndarray:
    """Reorder (..., J, D) from one layout to another by joint name.

    A joint the source lacks is the mean of the joints in `DERIVED` if `derive`, else NaN. Each pose
    is converted by itself, whatever stands beside it.
    """
    if pose.shape[-2] != len(source):
        raise ValueError(
            f"pose has {pose.shape[-2]} joints, layout {source.name} has {len(source)}"
        )
    columns = [_column(pose, source.joints, name, derive) for name in target.joints]
    return np.stack(columns, axis=-2)


def _column(pose: np.ndarray, have: Sequence[str], name: str, derive: bool) -> np.ndarray:
    if name in have:
        return pose[..., have.index(name), :]
    column = np.full(pose.shape[:-2] + pose.shape[-1:], np.nan, np.result_type(pose, np.float16))
    for parts in DERIVED.get(name, ()) if derive else ():
        mean = np.mean([_column(pose, have, part, True) for part in parts], axis=0)
        column = np.where(np.isnan(column).all(-1, keepdims=True), mean, column)
    return column.astype(pose.dtype) if pose.dtype.kind == "f" else column


# Index tables of the original project, verbatim: target joint i is read from source joint table[i].
# Cautions. In the 32-joint Human3.6M skeleton index 12 is the middle of the spine, so PA17 "thorax"
# read from there is not the thorax of MPII. The NTU tables exchange left and right of every limb,
# as NTU's colour pictures are mirror images: names are as seen there (`data.sets.ntu.load`, sides).
_PA_LIMBS_H36M = (25, 17, 26, 18, 27, 19)
DEEPHAR_INDEX: dict[str, tuple[int, ...]] = {
    "pa16_from_mpii": (6, 7, 8, 9, 12, 13, 11, 14, 10, 15, 2, 3, 1, 4, 0, 5),
    "pa16_to_mpii": (14, 12, 10, 11, 13, 15, 0, 1, 2, 3, 8, 6, 4, 5, 7, 9),
    "pa16_to_lsp": (14, 12, 10, 11, 13, 15, 8, 6, 4, 5, 7, 9, 2, 3),
    "pa16_to_penn13": (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    "pa16_to_jhmdb": (2, 1, 3, 4, 5, 10, 11, 6, 7, 12, 13, 8, 9, 14, 15),
    "pa16_from_ntu": (0, 20, 2, 3, 4, 8, 5, 9, 6, 10, 12, 16, 13, 17, 14, 18),
    "pa17_from_h36m32": (0, 12, 13, 15, *_PA_LIMBS_H36M, 1, 6, 2, 7, 3, 8, 11),
    "pa20_from_h36m32": (0, 12, 13, 15, *_PA_LIMBS_H36M, 30, 22, 1, 6, 2, 7, 3, 8, 4, 9),
    "pa20_from_ntu": (0, 20, 2, 3, 4, 8, 5, 9, 6, 10, 7, 11, 12, 16, 13, 17, 14, 18, 15, 19),
    "pa20_to_mpii": (16, 14, 12, 13, 15, 17, 0, 1, 2, 3, 8, 6, 4, 5, 7, 9),
}
