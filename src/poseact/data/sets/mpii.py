"""MPII Human Pose: still pictures of everyday activities, 16 joints in 2D, head sizes for PCKh.

Andriluka, Pishchulin, Gehler & Schiele, "2D Human Pose Estimation: New Benchmark and State of the
Art Analysis", CVPR 2014. Its test poses are withheld; the validation people are those of Tompson et
al., CVPR 2015: 2,958 people in 2,729 of the training pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from poseact.core.files import whole_file
from poseact.core.geometry import box_around
from poseact.core.layouts import MPII16
from poseact.core.reading import read_json, understood
from poseact.core.types import Record
from poseact.data.archives import read_h5, read_mat, safe_join
from poseact.data.frames import ImageFile

SPLITS = ("train", "val", "trainval", "test")

_JOINTS = len(MPII16)
_FEWEST_FOR_A_BOX = 4
_PLACES = ("", "annot", "annotations", "mpii_human_pose_v1_u12_2", "mpii_human_pose_v1_u12_1")
_ORIGINAL = ("mpii_human_pose_v1_u12_1.mat", "mpii_human_pose_v1_u12_2.mat")
_TABLES = {
    "train": ("train", "mpii_train"),
    "val": ("valid", "mpii_val", "mpii_valid"),
    "trainval": ("trainval", "mpii_trainval"),
    "test": ("test", "mpii_test"),
}
_HEADS = ("gt_valid.mat", "mpii_gt_val.mat", "detections_our_format.mat")
_VAL_PICTURES = ("valid_images.txt", "mpii_valid_images.txt")
_PX_APART = 2.0  # hourglass files cut joints to whole pixels


def load(
    root: str | Path,
    split: str = "train",
    *,
    box: str = "scale",
    people: str = "single",
    pictures: bool = True,
    annotations: str | None = None,
) -> list[Record]:
    """One record a person, T = 1, in MPII16; `view` is the picture's name.

    root: a folder with `images/` (or with the pictures themselves) and one of these, in it or in
    `annot/` or `annotations/`, tried in this order unless `annotations` names a file of root:

    - `{train,valid,trainval,test}.json` (HRNet) or `mpii_{train,val,...}.json` (mmpose); head boxes
      of the validation people from `gt_valid.mat` or `mpii_gt_val.mat` where it lies beside;
    - `annotations.mat` of the deephar authors: train, val, trainval;
    - `{train,valid,test}.h5` of the hourglass code: joints are cut to whole px there;
    - `mpii_human_pose_v1_u12_1.mat`, the original: trainval and test, and with a list of the
      validation pictures (`valid_images.txt`) train and val. people="single" reads those of its
      single-person list, as the benchmark does, and warns how many others there are; "all" reads
      everyone. The other files have their list built in.

    Coordinates in all of them are MATLAB's: the centre of the first pixel is (1, 1), so 0.5 is
    taken off. A joint without annotation is NaN. `visible` is known in the .h5 and the original.
    box="scale" is the square of the person's annotated height (200 px times scale) about the point
    15 px times scale below the annotated centre: cropped with a margin of 1.25 it is the papers'.
    box="joints" is just around the joints (with fewer than 4 as "scale"). `scale_px` is 0.6 times
    the diagonal of the head box, NaN for a person without, None where the file has none. A missing
    picture is an error; with pictures=False it gives a record without `frame`. Raises
    FileNotFoundError, or ValueError for a split or file that does not fit.
    """
    if box not in ("scale", "joints") or people not in ("single", "all"):
        raise ValueError(
            f"box is 'scale' or 'joints' and people 'single' or 'all', got {box!r} and {people!r}"
        )
    root = Path(root)
    path = _annotation_file(root, split) if annotations is None else safe_join(root, annotations)
    with understood(path):
        if path.suffix == ".json":
            table = _from_json(path, root, split)
        elif path.suffix == ".h5":
            table = _from_hourglass(path)
        elif path.name in _ORIGINAL:
            table = _from_original(path, root, split, people)
        else:
            table = _from_authors(path, split)
        return _records(table, root, box, pictures)


def write_predictions(path: str | Path, names: Sequence[str], xy: np.ndarray) -> None:
    """Predicted joints as the benchmark takes them, a MATLAB file.

    names: of the pictures, in the order of the people of the test list. xy: (N, 16, 2) px, MPII16.
    `preds` (N, 16, 2) is HRNet's form; `pred` has a person a row with `image.name` and
    `annorect.annopoints.point`, a struct array of x, y and id (0 to 15), as the annotation has it.
    Both count from the centre of pixel (1, 1).
    """
    if xy.shape != (len(names), _JOINTS, 2):
        raise ValueError(f"predictions are ({len(names)}, {_JOINTS}, 2), got {xy.shape}")
    people = np.empty((len(names),), object)
    for i, (name, joints) in enumerate(zip(names, xy + 0.5)):
        points = np.array(
            [(float(x), float(y), float(j)) for j, (x, y) in enumerate(joints)],
            [(field, object) for field in ("x", "y", "id")],
        )
        people[i] = {"image": {"name": name}, "annorect": {"annopoints": {"point": points}}}
    with whole_file(path) as part, part.open("wb") as file:
        savemat(file, {"preds": xy + 0.5, "pred": people})


@dataclass(frozen=True)
class _Table:
    """People as the file has them, in MATLAB's pixels, NaN unknown.

    xy: (N, 16, 2). centre: (N, 2), not moved down. scale: (N,) person height / 200 px. head: (N,)
    px. visible: (N, 16).
    """

    image: Sequence[str]
    xy: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    head: np.ndarray | None = None
    visible: np.ndarray | None = None


def _records(table: _Table, root: Path, box: str, pictures: bool) -> list[Record]:
    folder = root / "images" if (root / "images").is_dir() else root
    paths = {name: safe_join(folder, name) for name in table.image}
    missing = {name for name, path in paths.items() if not path.is_file()}
    if missing and pictures:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} MPII pictures are missing, one is "
            f"{paths[min(missing)]}; pictures=False reads the annotations alone"
        )
    xy = (table.xy - 0.5).astype(np.float32)
    down = np.stack([np.zeros_like(table.scale), 15 * table.scale], -1)
    centre, half = table.centre - 0.5 + down, 100 * table.scale[:, None]
    boxes = np.concatenate([centre - half, centre + half], -1)  # N 4
    if box == "joints":
        enough = (~np.isnan(xy[..., 0])).sum(1, keepdims=True) >= _FEWEST_FOR_A_BOX
        boxes = np.where(enough, box_around(xy), boxes)
    return [
        Record(
            None if name in missing else ImageFile(paths[name]),
            xy[i : i + 1],
            MPII16,
            visible=None if table.visible is None else table.visible[i : i + 1],
            box=boxes[i : i + 1],
            source="mpii",
            view=name,
            scale_px=None if table.head is None else table.head[i : i + 1],
        )
        for i, name in enumerate(table.image)
    ]


def _annotation_file(root: Path, split: str) -> Path:
    if split not in SPLITS:
        raise ValueError(f"MPII has the splits {', '.join(SPLITS)}; got {split!r}")
    authors = () if split == "test" else ("annotations.mat",)
    json, h5 = ([name + end for name in _TABLES[split]] for end in (".json", ".h5"))
    names = [*json, *authors, *h5, *_ORIGINAL]
    found = _first(root, names)
    if found is None:
        raise FileNotFoundError(
            f"no MPII annotations for split {split!r} in {root}: looked there and in "
            f"{', '.join(_PLACES[1:])} for {', '.join(names)}"
        )
    return found


def _first(root: Path, names: Sequence[str]) -> Path | None:
    paths = (root / place / name for name in names for place in _PLACES)
    return next((path for path in paths if path.is_file()), None)


# ---------------------------------------------------------------------- HRNet's and mmpose's json


def _from_json(path: Path, root: Path, split: str) -> _Table:
    entries = read_json(path)
    try:
        image = [str(entry["image"]) for entry in entries]
        centre = np.array([entry["center"] for entry in entries], float).reshape(-1, 2)
        scale = np.array([entry["scale"] for entry in entries], float)
        xy = np.array([entry.get("joints", [[0, 0]] * _JOINTS) for entry in entries], float)
        known = np.array([entry.get("joints_vis", [0] * _JOINTS) for entry in entries], float)
        xy, known = xy.reshape(-1, _JOINTS, 2), known.reshape(-1, _JOINTS)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path}: not a list of people with image, center, scale, joints (16 x 2) and "
            f"joints_vis (16), as HRNet and mmpose have it ({type(error).__name__}: {error})"
        ) from error
    xy = np.where(known[..., None] > 0, xy, np.nan)  # joints_vis says "annotated" here
    unplaced = centre[:, 0] == -1
    centre, scale = np.where(unplaced[:, None], np.nan, centre), np.where(unplaced, np.nan, scale)
    found = _first(root, _HEADS) if split == "val" else None
    if found is None:
        return _Table(image, xy, centre, scale)
    with understood(found):
        return _Table(image, xy, centre, scale, _head_sizes(found, xy))


def _head_sizes(path: Path, xy: np.ndarray) -> np.ndarray:
    """(N,) px of the file that the evaluation of HRNet and others reads; its joints must be ours.

    xy: (N, 16, 2) in the file's own pixels.
    """
    content = read_mat(path, simplify=False)
    if not {"headboxes_src", "pos_gt_src"} <= set(content):
        raise ValueError(f"{path}: has no headboxes_src and pos_gt_src; is it gt_valid.mat?")
    corners = np.moveaxis(content["headboxes_src"].reshape(2, 2, -1), -1, 0)  # N corner xy
    joints = np.moveaxis(content["pos_gt_src"].reshape(_JOINTS, 2, -1), -1, 0)
    if len(joints) != len(xy):
        raise ValueError(f"{path}: {len(joints)} people, but the annotations have {len(xy)}")
    apart = np.linalg.norm(joints - xy, axis=-1)
    strangers = np.flatnonzero((apart > _PX_APART).sum(1) > (apart <= _PX_APART).sum(1))
    if len(strangers):
        raise ValueError(
            f"{path}: {len(strangers)} people are not those of the annotations, the first is "
            f"number {strangers[0]}; the two files are of different versions"
        )
    return 0.6 * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1)


# ----------------------------------------------------------------------------- hourglass's .h5


def _from_hourglass(path: Path) -> _Table:
    """Scale is 1.25 times MPII's there, and the centre is moved down already."""
    content = read_h5(path)
    needed = {"imgname", "center", "scale", "part", "visible"}
    if not needed <= set(content):
        raise ValueError(f"{path}: needs {', '.join(sorted(needed))}, has {', '.join(content)}")
    xy = content["part"].astype(float)
    xy = np.where((xy == 0).all(-1, keepdims=True), np.nan, xy)
    scale = content["scale"].astype(float) / 1.25
    centre = content["center"].astype(float)
    centre[:, 1] -= 15 * scale
    head = content.get("normalize")
    return _Table(
        [_text(name) for name in content["imgname"]],
        xy,
        centre,
        scale,
        None if head is None else head.astype(float),
        content["visible"] > 0,
    )


def _text(name: Any) -> str:
    """A name kept as bytes, or as numbers of characters with zeros behind."""
    if isinstance(name, bytes):
        return name.decode()
    return name if isinstance(name, str) else "".join(chr(int(code)) for code in name if code)


# ---------------------------------------------------------------- the deephar authors' .mat


def _from_authors(path: Path, split: str) -> _Table:
    """Cells annot_tr, annot_val (3, pictures): numbers of people, name, annotations of everyone."""
    variables = {
        "train": ("annot_tr",),
        "val": ("annot_val",),
        "trainval": ("annot_tr", "annot_val"),
    }
    content = read_mat(path, simplify=False)
    if split not in variables or not set(variables[split]) <= set(content):
        raise ValueError(
            f"{path}: no split {split!r}; annotations.mat of deephar has annot_tr and annot_val"
        )
    image: list[str] = []
    people: list[dict[str, np.ndarray]] = []
    for picture in (cells for name in variables[split] for cells in content[name].T):
        for number in picture[0].ravel():  # from 1
            annotation = picture[2].ravel()[int(number) - 1]
            fields = ("pose", "objpos", "scale", "head")
            people.append({f: np.asarray(annotation[f][0, 0], float) for f in fields})
            image.append(str(picture[1].item()))
    corners = np.array([person["head"].ravel() for person in people]).reshape(-1, 2, 2)
    return _Table(
        image,
        np.array([person["pose"].T for person in people]).reshape(-1, _JOINTS, 2),
        np.array([person["objpos"].ravel() for person in people]).reshape(-1, 2),
        np.array([person["scale"].item() for person in people]),
        0.6 * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1),
    )


# ------------------------------------------------------------------------------ the original


def _from_original(path: Path, root: Path, split: str, people: str) -> _Table:
    release = read_mat(path).get("RELEASE")
    if not isinstance(release, dict) or not {"annolist", "img_train"} <= set(release):
        raise ValueError(f"{path}: has no RELEASE with annolist and img_train; download it again")
    pictures = _structs(release["annolist"])
    names = [str(picture["image"]["name"]) for picture in pictures]
    single = release["single_person"] if len(pictures) > 1 else [release["single_person"]]
    chosen = _of_split(names, np.atleast_1d(release["img_train"]) > 0, split, root)
    image, rows, left_out = [], [], 0
    for i in np.flatnonzero(chosen):
        alone = {int(number) for number in np.ravel(single[i])}  # from 1
        for number, rect in enumerate(_structs(pictures[i].get("annorect")), 1):
            if people == "all" or number in alone:
                image.append(names[i])
                rows.append(_person(rect))
            else:
                left_out += 1
    if left_out:
        warnings.warn(
            f"MPII {split}: {left_out} people are not in the single-person list and are left out, "
            f"{len(rows)} are read; people='all' reads everyone",
            stacklevel=3,
        )
    columns = [np.array([row[k] for row in rows]) for k in range(5)]
    xy, centre, scale, head, visible = columns
    return _Table(
        image, xy.reshape(-1, _JOINTS, 2), centre.reshape(-1, 2), scale, head, visible.astype(bool)
    )


def _of_split(names: Sequence[str], train: np.ndarray, split: str, root: Path) -> np.ndarray:
    """(pictures,) bool."""
    if split in ("test", "trainval"):
        return ~train if split == "test" else train
    found = _first(root, _VAL_PICTURES)
    if found is None:
        raise ValueError(
            f"the original MPII file has the splits trainval and test; for {split!r} put the names "
            f"of the validation pictures beside it, a line each, as {_VAL_PICTURES[0]} in {root}"
        )
    val = np.isin(names, found.read_text().split()) & train
    return val if split == "val" else train & ~val


def _structs(value: Any) -> list[dict[str, Any]]:
    """One struct, several or none."""
    if isinstance(value, dict):
        return [value]
    entries = list(value) if isinstance(value, (list, tuple)) else []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _person(rect: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, float, float, np.ndarray]:
    """Joints (16, 2), centre (2,), scale, head size and visible (16,) of one `annorect`."""
    xy, visible = np.full((_JOINTS, 2), np.nan), np.zeros(_JOINTS, bool)
    points = rect.get("annopoints")
    for point in _structs(points.get("point") if isinstance(points, dict) else None):
        joint = int(_number(point, "id"))
        xy[joint] = _number(point, "x"), _number(point, "y")
        # The flag lacks for the ends of the head, which come from the head box.
        visible[joint] = _number(point, "is_visible", 1.0) > 0
    place = rect.get("objpos")
    place = place if isinstance(place, dict) else {}
    centre = np.array([_number(place, "x"), _number(place, "y")])
    corners = np.array([_number(rect, side) for side in ("x1", "y1", "x2", "y2")])
    head = 0.6 * float(np.linalg.norm(corners[2:] - corners[:2]))
    return xy, centre, _number(rect, "scale"), head, visible


def _number(struct: dict[str, Any], name: str, default: float = float("nan")) -> float:
    """A field that may be missing, empty, a number or a digit as text."""
    value = struct.get(name)
    if value is None or np.size(value) == 0 or value == "":
        return default
    return float(np.ravel(value)[0])
