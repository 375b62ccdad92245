"""JHMDB and sub-JHMDB: short clips of 21 (12) actions, 15 joints in 2D, silhouettes.

Jhuang, Gall, Zuffi, Schmid & Black, "Towards Understanding Action Recognition", ICCV 2013: 928
clips, three splits; sub-JHMDB are the 316 with the whole body in the picture.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from poseact.core.geometry import box_around
from poseact.core.layouts import JHMDB15
from poseact.core.reading import understood
from poseact.core.types import Record
from poseact.data.archives import read_mat, safe_join
from poseact.data.frames import ImageSequence
from poseact.data.sets.coco import find_pictures, read_annotations

ACTIONS = (
    *("brush_hair", "catch", "clap", "climb_stairs", "golf", "jump", "kick_ball", "pick", "pour"),
    *("pullup", "push", "run", "shoot_ball", "shoot_bow", "shoot_gun", "sit", "stand"),
    *("swing_baseball", "throw", "walk", "wave"),
)
"""Class names; sub-JHMDB has 12 of them, with the same numbers."""

SPLITS = {"train": "1", "test": "2"}
_FOLDERS = {"full": "splits", "sub": "sub_splits"}
# MATLAB's pixels: the centre of the first is (1, 1).
_SHIFT = -0.5


def load(
    root: str | Path,
    split: str = "train",
    *,
    fold: int = 1,
    subset: str = "sub",
    box: str = "mask",
    annotations: str | None = None,
) -> list[Record]:
    """One record a clip in JHMDB15, with its action; `view` is the clip's name.

    split: train or test of the fold 1, 2 or 3. subset: "full" or "sub". root, in one of two forms:

    - mmpose's: `annotations/Sub{fold}_{split}.json` (sub-JHMDB only; or the file of root that
      `annotations` names) and the pictures in `Rename_Images/` or root;
    - the original: `splits/` or `sub_splits/` with `CLASS_test_split1.txt` (or `_split_1`),
      `joint_positions/CLASS/CLIP/joint_positions.mat`, `Rename_Images/CLASS/CLIP/00001.png`, and
      `puppet_mask/CLASS/CLIP/puppet_mask.mat` for the boxes.

    Coordinates are MATLAB's and lose 0.5. Joints outside the picture are annotated too. box="mask"
    is just around the silhouette, NaN in a frame without one; "joints" around the joints. The
    third joint is the middle of the face. Raises FileNotFoundError, or ValueError.
    """
    root = Path(root)
    if split not in SPLITS or fold not in (1, 2, 3):
        raise ValueError(f"JHMDB has train and test of fold 1, 2, 3; got {split!r} of {fold!r}")
    if subset not in _FOLDERS or box not in ("mask", "joints"):
        raise ValueError(
            f"subset is 'sub' or 'full' and box 'mask' or 'joints', got {subset!r} and {box!r}"
        )
    if annotations is not None:
        path = safe_join(root, annotations)
        with understood(path):
            return _from_json(path, root, box)
    table = Path(f"Sub{fold}_{split}.json")
    tables = [root / "annotations" / table, root / table] if subset == "sub" else []
    for path in tables:
        if path.is_file():
            with understood(path):
                return _from_json(path, root, box)
    clips = _clips_of_split(root, _FOLDERS[subset], split, fold)
    return [_from_mat(root, action, clip, box) for action, clip in clips]


# ------------------------------------------------------------------------------- mmpose's json


def _from_json(path: Path, root: Path, box: str) -> list[Record]:
    content = read_annotations(path, JHMDB15, names={"head": "face"})
    places = [root / "Rename_Images", root]
    pictures = find_pictures(places, {p["image_id"]: content.file(p) for p in content.people})
    clips: dict[tuple[str, Any], list[dict[str, Any]]] = defaultdict(list)
    for person in content.people:
        folder = str(Path(content.file(person)).parent)
        clips[folder, person.get("track_id", 0)].append(person)
    records = []
    for (folder, _), people in clips.items():
        people.sort(key=content.file)  # by frame
        rows = [content.keypoints(person) for person in people]
        xy = np.stack([row[0] for row in rows]) + _SHIFT
        # A box starts at a pixel numbered from 1, and its width counts pixels.
        corner, size = np.split(np.array([p["bbox"] for p in people], np.float64), 2, axis=1)
        around = np.concatenate([corner - 1, corner - 1 + size], 1)
        around[(size <= 0).any(1)] = np.nan
        records.append(
            Record(
                ImageSequence([pictures[person["image_id"]] for person in people]),
                xy.astype(np.float32),
                JHMDB15,
                visible=np.stack([row[1] for row in rows]),
                box=around if box == "mask" else box_around(xy),
                action=_action_of(folder, path),
                source="jhmdb",
                view=Path(folder).name,
            )
        )
    return records


def _action_of(folder: str, path: Path) -> int:
    """By the folder above the clip, or by the clip's name: TITLE_ACTION_f_cm_np1_ri_med_0."""
    above, clip = Path(folder).parent.name, Path(folder).name
    if above in ACTIONS:
        return ACTIONS.index(above)
    found = re.search(rf"_({'|'.join(ACTIONS)})_[fhlu]_[a-z]+_np\d", f"_{clip}")
    if found is None:
        raise ValueError(f"{path}: no action of JHMDB in the clip's name {folder!r}")
    return ACTIONS.index(found[1])


# --------------------------------------------------------------------------- the original form


def _clips_of_split(root: Path, folder: str, split: str, fold: int) -> list[tuple[str, str]]:
    """(action, clip) of every line CLIP.avi 1 (train) or 2 (test)."""
    clips = []
    lists = sorted(
        path
        for name in (f"split{fold}", f"split_{fold}")
        for path in root.glob(f"{folder}/*_test_{name}.txt")
    )
    if not lists:
        raise FileNotFoundError(
            f"no JHMDB in {root}: looked for {folder}/CLASS_test_split{fold}.txt (original) and, "
            f"for subset='sub', annotations/Sub{fold}_{split}.json (mmpose)"
        )
    for path in lists:
        action = path.name.split("_test_split")[0]
        if action not in ACTIONS:
            raise ValueError(f"{path}: JHMDB has no action {action!r}")
        with understood(path):
            lines = path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            words = line.split()
            if words and (len(words) != 2 or words[1] not in ("0", "1", "2")):
                raise ValueError(f"{path}: line {number} is not 'CLIP.avi 1' or 'CLIP.avi 2'")
            if words and words[1] == SPLITS[split]:
                clips.append((action, words[0].removesuffix(".avi")))
    return clips


def _from_mat(root: Path, action: str, clip: str, box: str) -> Record:
    place = f"{action}/{clip}"
    path = safe_join(root, f"joint_positions/{place}/joint_positions.mat")
    with understood(path):
        joints = np.asarray(read_mat(path, simplify=False).get("pos_img"))
        if joints.shape[:2] != (2, len(JHMDB15)):
            raise ValueError(f"{path}: pos_img is (2, 15, T), got {joints.shape}")
        joints = joints.astype(np.float64).reshape(2, len(JHMDB15), -1)
        xy = joints.transpose(2, 1, 0) + _SHIFT  # T J 2
    pictures = {t: f"{place}/{t + 1:05d}.png" for t in range(len(xy))}
    paths = find_pictures([root / "Rename_Images"], pictures)
    return Record(
        ImageSequence(list(paths.values())),
        xy.astype(np.float32),
        JHMDB15,
        box=_mask_boxes(root, place, len(xy)) if box == "mask" else box_around(xy),
        action=ACTIONS.index(action),
        source="jhmdb",
        view=clip,
    )


def _mask_boxes(root: Path, place: str, frames: int) -> np.ndarray:
    """(T, 4) px around the puppet in part_mask (H, W, T), NaN where there is none."""
    path = safe_join(root, f"puppet_mask/{place}/puppet_mask.mat")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no silhouettes; get puppet_mask/ or take box='joints'")
    with understood(path):
        mask = np.asarray(read_mat(path, simplify=False).get("part_mask"))
        mask = np.atleast_3d(mask) > 0
    if mask.shape[2] < frames:
        raise ValueError(f"{path}: part_mask is (H, W, T = {frames}), got {mask.shape}")
    boxes = np.full((frames, 4), np.nan)
    for t in range(frames):
        rows, columns = np.nonzero(mask[..., t])
        if len(rows):
            boxes[t] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes
