"""Photos with pseudo-labels: what teacher networks (and a crowd) say, with a weight for each joint.

Two packs of JPEG crops in one folder, each beside its teachers' answers: `lspet` (LSP-extended;
limbs fused from the crowd and two teachers, head and neck the crowd's) and `people` (pedestrians,
fashion, exercises; one teacher). A second network's 3D poses come with weights of their own.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from poseact.core.geometry import box_around
from poseact.core.layouts import COCO17, H36M17, LSP14, PA17, Layout, convert
from poseact.core.reading import understood
from poseact.core.types import Record
from poseact.data.archives import read_npz
from poseact.data.sets.lsp import Picture

SPLITS = ("train", "val", "all")
CROWD_WEIGHT = 0.6
"""Of head and neck, which only the crowd has marked."""
DEPTH_WEIGHT = 0.5
"""Of depths guessed from one picture by another network."""
FEWEST = 6
"""Joints that a person has at least, or the label is not used."""


def load(
    root: str | Path,
    split: str = "train",
    *,
    pack: Literal["lspet", "people"] = "people",
    source: str = "",
) -> list[Record]:
    """One record a photo, in PA17, with `Record.weight`.

    root: the folder that holds `lspet`, `people` and `teacher`. split: train, val (of lspet its
    own; of people a tenth, by name, so that pictures of one exercise stay together) or all.
    source: of people only those of one source, such as fedb. FileNotFoundError names what is
    missing; ValueError an unknown split, pack or source.
    """
    root = Path(root)
    if split not in SPLITS or pack not in ("lspet", "people"):
        raise ValueError(
            f"splits are {', '.join(SPLITS)} and packs lspet and people; got {split!r}, {pack!r}"
        )
    folder = root / pack
    with understood(folder):
        return _load(root, folder, split, pack, source)


def _load(root: Path, folder: Path, split: str, pack: str, source: str) -> list[Record]:
    index = _table(folder / f"{pack}.npz")
    teacher = root / "teacher" if pack == "lspet" else folder
    labels = _table(teacher / f"{pack}_teacher.npz")
    depths = _table(root / "teacher" / f"{pack}_blaze3d.npz")
    held_out = index["val"] if pack == "lspet" else np.array([_held_out(n) for n in index["name"]])
    wanted = {"train": ~held_out, "val": held_out, "all": np.ones_like(held_out)}[split]
    if source:
        wanted &= labels["source"] == source
    xy, weight = _lspet(index, labels) if pack == "lspet" else _people(labels)
    wanted &= (weight[..., 0] > 0).sum(1) >= FEWEST
    if not wanted.any():
        raise ValueError(f"{folder}: nothing of split {split} {source}")
    xyz = convert(depths["xyz_mm"].astype(np.float32), H36M17, PA17, derive=False)
    sure = convert(depths["weight"][..., None].astype(np.float32), H36M17, PA17, derive=False)
    weight[..., 2] = DEPTH_WEIGHT * np.nan_to_num(sure[..., 0]) * (weight[..., 0] > 0)
    names = index["source"] if pack == "people" else np.full(len(xy), "lspet")
    records = []
    for i in np.flatnonzero(wanted):
        path = folder / f"images_{int(index['part'][i])}.bin"
        picture = Picture(path, int(index["offset"][i]), int(index["size"][i]))
        known = box_around(xy[i])
        box = index["box"][i] if pack == "people" and index["box_known"][i] else known
        records.append(
            Record(
                picture,
                xy[i][None],
                PA17,
                xyz=xyz[i][None],
                box=np.asarray(box, np.float64)[None],
                source=f"{pack} {names[i]}",
                weight=weight[i][None],
            )
        )
    return records


def _table(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: root is the folder of lspet, people and teacher")
    return read_npz(path)


def _held_out(name: str) -> bool:
    """A tenth, by the name without the number of the picture in its series."""
    return zlib.crc32(str(name).rsplit("/", 1)[0].encode()) % 10 == 9


def _lspet(
    index: dict[str, np.ndarray], labels: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """xy (N, 17, 2) and weight (N, 17, 3)."""
    rows = [LSP14.index(str(name)) for name in labels["limb_names"]]
    crowd = index["visible"]
    xy = np.where(crowd[..., None], index["joints"], np.nan).astype(np.float32)  # N 14 2
    weight = CROWD_WEIGHT * crowd.astype(np.float32)
    xy[:, rows] = labels["fused"]
    weight[:, rows] = np.nan_to_num(labels["weight"])
    weight[np.isnan(xy).any(-1)] = 0
    return _in_pa17(xy, weight, LSP14)


def _people(labels: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    weight = labels["weight"].astype(np.float32)
    xy = np.where(weight[..., None] > 0, labels["joints"], np.nan).astype(np.float32)
    return _in_pa17(xy, weight, COCO17)


def _in_pa17(xy: np.ndarray, weight: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    xy = convert(xy, layout, PA17)
    weight = np.nan_to_num(convert(weight[..., None], layout, PA17))[..., 0]
    weight[np.isnan(xy).any(-1)] = 0
    return xy, np.repeat(weight[..., None], 3, -1)
