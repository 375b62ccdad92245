"""Leeds Sports Pose and its extension: still photos of sport with 14 joints in 2D.

Johnson & Everingham, "Clustered Pose and Nonlinear Appearance Models for Human Pose Estimation",
BMVC 2010 (LSP, 2,000 pictures), and "Learning Effective Human Pose Estimation from Inaccurate
Annotation", CVPR 2011 (LSP-extended, 10,000 pictures, crowd-sourced labels).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from poseact.core.geometry import box_around
from poseact.core.layouts import LSP14
from poseact.core.reading import understood
from poseact.core.types import Record
from poseact.data.archives import read_mat, read_npz

_FEWEST_FOR_A_BOX = 4


def load(root: str | Path, split: str = "train") -> list[Record]:
    """One record a picture, T = 1, in LSP14; every picture of the split is there.

    root: a folder of the packed form (`lspet.npz`, `images_*.bin`; splits train, val, all) or an
    original one (`joints.mat`, `images/`): LSP (first half train, second half test; all) or
    LSP-extended (train, all: it has no other). A joint that is not annotated is NaN. The box is
    just around the known joints; fewer than 4 tell nothing of the person's size,
    and leave the box NaN (the whole picture). Raises FileNotFoundError, or ValueError for a split
    that the data does not have.
    """
    root = Path(root)
    for name, read in (("lspet.npz", _load_packed), ("joints.mat", _load_original)):
        if (root / name).is_file():
            with understood(root / name):
                return read(root, split)
    raise FileNotFoundError(
        f"no LSP in {root}: looked for lspet.npz (packed) and joints.mat (original)"
    )


@dataclass(frozen=True)
class Picture:
    """Reads one JPEG: a whole file, or `size` bytes at `offset` of a packed one.

    The file is opened for each read, so a picture may be pickled and shared by forked workers.
    """

    path: Path
    offset: int = 0
    size: int = -1

    def __call__(self, t: int) -> np.ndarray:
        """uint8 RGB (H, W, 3); a still shows the same whatever `t`."""
        with understood(self.path), self.path.open("rb") as file:
            file.seek(self.offset)
            data = np.frombuffer(file.read(self.size), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise ValueError(f"no readable picture in {self.path} at byte {self.offset} (t = {t})")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _load_packed(root: Path, split: str) -> list[Record]:
    table = read_npz(root / "lspet.npz")
    masks = {"train": ~table["val"], "val": table["val"], "all": np.ones(len(table["val"]), bool)}
    rows = np.flatnonzero(_of_split(masks, split, root))
    paths = {int(part): root / f"images_{part}.bin" for part in np.unique(table["part"][rows])}
    _check_files(list(paths.values()))
    records = []
    for i in rows:
        picture = Picture(
            paths[int(table["part"][i])], int(table["offset"][i]), int(table["size"][i])
        )
        known = table["visible"][i]
        records.append(_record(picture, table["joints"][i], known, known, "lspet"))
    return records


def _load_original(root: Path, split: str) -> list[Record]:
    joints = np.asarray(read_mat(root / "joints.mat", simplify=False)["joints"])
    if joints.ndim != 3 or joints.shape[:2] not in ((3, 14), (14, 3)):
        raise ValueError(
            f"{root / 'joints.mat'}: joints are (3, 14, N) in LSP and (14, 3, N) in LSP-extended, "
            f"got {joints.shape}"
        )
    extended = joints.shape[0] == 14
    joints = np.moveaxis(joints, -1, 0) if extended else joints.transpose(2, 1, 0)  # N 14 3
    count = len(joints)
    first = np.arange(count) < (count if extended else count // 2)
    masks = {"train": first, "all": np.ones(count, bool)} | ({} if extended else {"test": ~first})
    rows = np.flatnonzero(_of_split(masks, split, root))
    name = "im{:05d}.jpg" if extended else "im{:04d}.jpg"
    paths = [root / "images" / name.format(i + 1) for i in rows]
    _check_files(paths)
    records = []
    for path, joint in zip(paths, joints[rows], strict=True):
        flag = joint[:, 2] != 0
        # The flag of LSP-extended says "annotated"; that of LSP says "occluded", but placed.
        known, visible = (flag, flag) if extended else (np.ones(14, bool), ~flag)
        # MATLAB counts from the centre of pixel (1, 1), which is our (0.5, 0.5).
        xy = joint[:, :2] - 0.5
        records.append(_record(Picture(path), xy, known, visible, "lspet" if extended else "lsp"))
    return records


def _of_split(masks: dict[str, np.ndarray], split: str, root: Path) -> np.ndarray:
    if split not in masks:
        raise ValueError(f"{root} has the splits {', '.join(masks)}; got {split!r}")
    return masks[split]


def _check_files(paths: list[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} picture files are missing, the first is {missing[0]}"
        )


def _record(
    picture: Picture, xy: np.ndarray, known: np.ndarray, visible: np.ndarray, source: str
) -> Record:
    """xy (J, 2) px; known, visible (J,) bool."""
    xy = np.where(known[:, None], xy, np.nan).astype(np.float32)[None]
    box = box_around(xy)
    if known.sum() < _FEWEST_FOR_A_BOX:
        box = np.full((1, 4), np.nan)
    return Record(picture, xy, LSP14, visible=visible[None], box=box, source=source)
