"""Small good files of data sets, for the fuzzer (`seeds`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.io import savemat

from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.data import pack
from poseact.data.frames import ImageFile
from poseact.media.pictures import write_image
from tests.data.sets import (
    test_h36m,
    test_ntu,
)
from tests.small_media import gradient


def penn_label(root: Path) -> None:
    rng = np.random.default_rng(0)
    for t in (1, 2):
        write_image(root / "frames" / "0001" / f"{t:06d}.jpg", gradient())
    (root / "labels").mkdir()
    label = {
        "action": "bowl",
        "pose": "front",
        "x": rng.uniform(5, 30, (2, 13)),
        "y": rng.uniform(5, 30, (2, 13)),
        "visibility": np.ones((2, 13)),
        "bbox": np.array([[1.0, 2, 30, 28], [1, 2, 30, 28]]),
        "train": 1,
        "nframes": 2.0,
    }
    savemat(root / "labels" / "0001.mat", label)


def penn_original(root: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [{"f": t, "pose": rng.uniform(5, 30, (2, 13)), "visible": np.ones(13)} for t in (1, 2)]
    for t in (1, 2):
        write_image(root / "frames" / "0001" / f"{t:06d}.jpg", gradient())
    clips = [{"idx": 1, "action_id": 1, "frames": test_h36m.structs(frames)}]
    table = {
        "sequences_tr": test_h36m.structs(clips),
        "sequences_te": test_h36m.structs(clips),
        "action_labels": np.array(["bowl", "squat"], object),
    }
    savemat(root / "annotations.mat", table)
    boxes = {"0.0": [1, 2, 30, 28], "0.1": [1, 2, 30, 28]}
    (root / "boxes.json").write_text(json.dumps([boxes, boxes]))


def jpegs(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and sizes of so many pictures in one file."""
    offset, size = np.zeros(count, np.int64), np.zeros(count, np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for i in range(count):
            offset[i] = file.tell()
            size[i] = file.write(cv2.imencode(".jpg", gradient())[1].tobytes())
    return offset, size


def lspet_packed(root: Path) -> None:
    offset, size = jpegs(root / "images_0.bin", 4)
    table = {"part": np.zeros(4, np.int64), "offset": offset, "size": size}
    joints = np.random.default_rng(0).uniform(1, 30, (4, 14, 2))
    shown = np.ones((4, 14), bool)
    val = np.arange(4) < 2
    np.savez(root / "lspet.npz", val=val, joints=joints, visible=shown, **table)


def lspet_joints(root: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(4):
        write_image(root / "images" / f"im{i + 1:05d}.jpg", gradient())
    joints = np.concatenate([rng.uniform(1, 30, (14, 2, 4)), np.ones((14, 1, 4))], 1)
    savemat(root / "joints.mat", {"joints": joints})


def pseudo_people(root: Path) -> None:
    rng = np.random.default_rng(0)
    offset, size = jpegs(root / "people" / "images_0.bin", 4)
    np.savez(
        root / "people" / "people.npz",
        part=np.zeros(4, np.int16),
        offset=offset,
        size=size,
        name=np.array([f"exercise{i}/0" for i in range(4)]),
        source=np.array(["gym"] * 4),
        box=np.tile([1.0, 2, 30, 28], (4, 1)),
        box_known=np.arange(4) < 2,
    )
    answers = {"joints": rng.uniform(5, 25, (4, 17, 2)), "weight": np.full((4, 17), 0.9)}
    np.savez(root / "people" / "people_teacher.npz", source=np.array(["gym"] * 4), **answers)
    depths = {"xyz_mm": rng.normal(size=(4, 17, 3)), "weight": np.full((4, 17), 0.8)}
    (root / "teacher").mkdir()
    np.savez(root / "teacher" / "people_blaze3d.npz", **depths)


def skeletons_msr(root: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        root / "msr.npz",
        xyz=rng.normal(0, 1, (40, 20, 3)),
        start=np.array([0, 20]),
        length=np.array([20, 20]),
        action=np.array([1, 2]),
        subject=np.array([1, 2]),
        trial=np.array([1, 1]),
        action_names=np.array(["a", "b"]),
        joint_index_note="MSR Action3D's own",
        confidence=np.ones((40, 20)),
        name=np.array(["a", "b"]),
        in_cvpr12_list=np.array([True, False]),
        AS1=np.array([1]),
    )


def skeletons_sbu(root: Path) -> None:
    x = np.random.default_rng(0).normal(0, 0.3, (10, 2, 6, 15, 2))
    np.savez(root / "two.npz", x=x, label=np.arange(10) % 5)


def sbu_text(root: Path) -> None:
    place = root / "s01s02" / "01" / "001"
    rows = np.random.default_rng(0).uniform(0.1, 0.9, (3, 91))
    rows[:, 0] = [1, 2, 3]
    place.mkdir(parents=True)
    text = "".join(",".join(f"{v:.6f}" for v in row) + "\n" for row in rows)
    (place / "skeleton_pos.txt").write_text(text)


def ntu_table(root: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.arange(1, 5)[:, None], rng.uniform(10, 90, (4, 150))], 1)
    place = root / "nturgb+d_numpy"
    place.mkdir()
    np.save(place / f"{test_ntu.NAME}.npy", rows)


def packed(root: Path) -> None:
    write_image(root / "a.png", gradient())
    rng = np.random.default_rng(0)
    records = [
        Record(
            ImageFile(root / "a.png"),
            rng.uniform(2, 28, (1, 17, 2)).astype(np.float32),
            PA17,
            xyz=rng.normal(0, 300, (1, 17, 3)).astype(np.float32),
            box=np.array([[1.0, 2, 30, 28]]),
        )
        for _ in range(3)
    ]
    pack.pack(records, root, split="train")


def own_clips(root: Path) -> None:
    for label in ("wave", "clap"):
        for number in range(2):
            for t in range(2):
                write_image(root / label / f"v{number}" / f"{t}.png", gradient())
    boxes = {"wave/v0": [1, 2, 20, 22], "wave/v1": [None, [1, 2, 9, 9]]}
    (root / "boxes.json").write_text(json.dumps(boxes))
    (root / "boxes.csv").write_text(
        "clip,frame,x0,y0,x1,y1\nwave/v0,,1,2,20,22\nclap/v1,1,1,2,9,9\n"
    )


def made_by(module: Any, name: str, *args: Any) -> Callable[[Path], object]:
    """A test class's `make`."""
    return lambda root: getattr(module, name)().make(root, *args)
