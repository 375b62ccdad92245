"""COCO keypoints: people in everyday pictures, 17 joints in 2D; result files for its OKS AP.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; keypoint task since 2016.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poseact.core.files import write_text
from poseact.core.layouts import COCO17, Layout
from poseact.core.reading import read_json, understood
from poseact.core.types import Record
from poseact.data.archives import safe_join
from poseact.data.frames import ImageFile

_SHIFT = 0.5  # keypoints count whole pixels from 0, so a keypoint means the centre of its pixel


def load(root: str | Path, split: str = "val", *, annotations: str | None = None) -> list[Record]:
    """One record an annotated person, T = 1, in COCO17; `view` is the picture's id.

    root: a folder with `annotations/person_keypoints_{split}2017.json` (or 2014, or without a year;
    or the file of root that `annotations` names) and the pictures in `{split}2017/`,
    `images/{split}2017/`, `images/` or root itself. Splits of COCO are train and val. Any set in
    this form with the same 17 keypoints can be read.

    Left out, with one warning that counts them, are crowds and people without a keypoint: the
    protocol neither trains on nor scores them. Keypoints get +0.5 (they number pixels from 0),
    boxes are px from the corner of the picture as they stand. An unlabelled keypoint is NaN.
    Raises FileNotFoundError, or ValueError for a file that is not of this form.
    """
    root = Path(root)
    path = _annotation_file(root, split) if annotations is None else safe_join(root, annotations)
    with understood(path):
        return _people(path, root, split)


def _people(path: Path, root: Path, split: str) -> list[Record]:
    content = read_annotations(path, COCO17)
    kept = [person for person in content.people if not _left_out(person)]
    if not content.people:
        raise ValueError(f"{path}: has no annotations (test pictures have none); use train or val")
    if len(kept) < len(content.people):
        crowds = sum(bool(person.get("iscrowd")) for person in content.people)
        warnings.warn(
            f"COCO {split}: {crowds} crowds and {len(content.people) - len(kept) - crowds} people "
            f"without a keypoint are left out, as by the protocol; {len(kept)} people are read",
            stacklevel=3,
        )
    folder = path.stem.removeprefix("person_keypoints_")
    places = [root / folder, root / "images" / folder, root / "images", root]
    pictures = find_pictures(places, {p["image_id"]: content.file(p) for p in kept})
    return [_record(content, person, pictures[person["image_id"]]) for person in kept]


@dataclass(frozen=True)
class Annotations:
    """A keypoint file of COCO's form: pictures by id, and its people, both as they stand there."""

    path: Path
    images: dict[int, dict[str, Any]]
    people: list[dict[str, Any]]
    layout: Layout

    def file(self, person: dict[str, Any]) -> str:
        """Name of the picture with that person."""
        return str(self.images[person["image_id"]]["file_name"])

    def keypoints(self, person: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """xy (J, 2) of the file, NaN where unlabelled, and visible (J,)."""
        table = np.array(person["keypoints"], np.float64).reshape(len(self.layout), 3)
        return np.where(table[:, 2:] > 0, table[:, :2], np.nan), table[:, 2] > 1


def read_annotations(
    path: Path, layout: Layout, *, names: dict[str, str] | None = None
) -> Annotations:
    """A keypoint file of COCO's form; ValueError if its keypoints are not those of `layout`.

    names: what the file calls a joint otherwise than the layout, theirs to ours.
    """
    content, ours = read_json(path), names or {}
    try:
        (category,) = [c for c in content["categories"] if c["name"] == "person"]
        joints = tuple(
            str(ours.get(joint, joint)).replace("left_", "l_").replace("right_", "r_")
            for joint in category["keypoints"]
        )
        images = {image["id"]: image for image in content["images"]}
        people = [a for a in content.get("annotations", []) if a["category_id"] == category["id"]]
        broken = [
            a["id"]
            for a in people
            if a["image_id"] not in images
            or len(a["keypoints"]) != 3 * len(joints)
            or len(a["bbox"]) != 4
        ]
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(
            f"{path}: not a keypoint file in COCO's form, with categories (one of them 'person', "
            f"with its keypoints), images and annotations ({type(error).__name__}: {error})"
        ) from error
    if joints != layout.joints:
        raise ValueError(
            f"{path}: its keypoints are not those of {layout.name}: {', '.join(joints)}"
        )
    if broken:
        raise ValueError(
            f"{path}: {len(broken)} annotations lack their picture, {3 * len(layout)} keypoint "
            f"numbers or a box of 4; the first has id {broken[0]}"
        )
    return Annotations(path, images, people, layout)


def find_pictures(places: Sequence[Path], names: dict[Any, str]) -> dict[Any, Path]:
    """Where the pictures lie, all in the first of `places` that has the first of them.

    Raises FileNotFoundError with the count of those that are missing.
    """
    name = next(iter(names.values()), None)
    if name is None:
        return {}
    here = next((place for place in places if safe_join(place, name).is_file()), places[0])
    paths = {key: safe_join(here, name) for key, name in names.items()}
    missing = [path for path in paths.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} pictures are missing, the first is {missing[0]}; "
            f"looked in {', '.join(map(str, places))}"
        )
    return paths


def _annotation_file(root: Path, split: str) -> Path:
    names = [f"person_keypoints_{split}{year}.json" for year in ("", "2017", "2014")]
    for path in (root / place / name for name in names for place in ("annotations", "")):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"no COCO keypoints for split {split!r} in {root}: looked in it and in annotations/ for "
        f"{', '.join(names)}; annotations='FILE' names another"
    )


def _left_out(person: dict[str, Any]) -> bool:
    return bool(person.get("iscrowd")) or not any(person["keypoints"][2::3])


def _record(content: Annotations, person: dict[str, Any], picture: Path) -> Record:
    xy, visible = content.keypoints(person)
    corner, size = np.split(np.array(person["bbox"], np.float64), 2)
    box = np.concatenate([corner, corner + size])
    return Record(
        ImageFile(picture),
        (xy + _SHIFT).astype(np.float32)[None],
        COCO17,
        visible=visible[None],
        box=(box if (size > 0).all() else np.full(4, np.nan))[None],
        source="coco",
        view=str(person["image_id"]),
    )


# ------------------------------------------------------------------------------------ results


@dataclass(frozen=True)
class Results:
    """Predicted people: image_id (N,), xy (N, 17, 2) px, joint_score (N, 17), score (N,)."""

    image_id: np.ndarray
    xy: np.ndarray
    joint_score: np.ndarray
    score: np.ndarray


def write_results(path: str | Path, results: Results) -> None:
    """The result file that COCO's evaluation and pycocotools' `loadRes` read.

    An unknown joint (NaN) is written as 0, 0 with score 0. The file appears when it is whole.
    ValueError if the arrays do not fit each other.
    """
    count = len(results.image_id)
    shapes = [results.xy.shape, results.joint_score.shape, results.score.shape]
    if shapes != [(count, len(COCO17), 2), (count, len(COCO17)), (count,)]:
        raise ValueError(f"results of {count} people have the shapes {shapes}")
    known = np.isfinite(results.xy).all(-1, keepdims=True)  # N J 1
    table = np.concatenate([results.xy - _SHIFT, results.joint_score[..., None]], -1)
    table = np.where(known, table, 0)
    entries = [
        {
            "image_id": int(image),
            "category_id": 1,
            "keypoints": [round(float(number), 4) for number in row.ravel()],
            "score": float(score),
        }
        for image, row, score in zip(results.image_id, table, results.score)
    ]
    write_text(path, json.dumps(entries))


def read_results(path: str | Path) -> Results:
    """A result file in COCO's form; ValueError if it is not one of 17 keypoints."""
    entries = read_json(path)
    try:
        table = np.array([entry["keypoints"] for entry in entries], np.float64)
        table = table.reshape(-1, len(COCO17), 3)
        score = np.array([entry["score"] for entry in entries], np.float64)
        image = np.array([entry["image_id"] for entry in entries], np.int64)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(
            f"{path}: not a list of image_id, keypoints (17 x 3) and score "
            f"({type(error).__name__}: {error})"
        ) from error
    known = (table != 0).any(-1, keepdims=True)
    return Results(image, np.where(known, table[..., :2] + _SHIFT, np.nan), table[..., 2], score)
