"""NTU RGB+D 60 and 120: daily actions seen by three Kinects, 25 joints in 2D and 3D.

Shahroudy et al., "NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis", CVPR 2016 (60
classes, 56,880 samples), and Liu et al., "NTU RGB+D 120", TPAMI 2020 (120 classes, 114,480). Names,
classes and the format of the .skeleton files: the authors' repository shahroudy/NTURGB-D.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from poseact.core.geometry import box_around
from poseact.core.layouts import NTU25
from poseact.core.reading import understood
from poseact.core.types import Record
from poseact.data import pack
from poseact.data.archives import read_npy
from poseact.data.frames import ImageSequence, VideoFile, count_frames
from poseact.data.sets.ntu_skeletons import MANY, MAX_BYTES, bodies, main_body
from poseact.media.video import VIDEO_SUFFIXES

__all__ = ["ACTIONS", "TRAIN_CAMERAS", "TRAIN_SUBJECTS", "load", "main_body"]

ACTIONS = (
    *("drink water", "eat meal/snack", "brushing teeth", "brushing hair", "drop", "pickup"),
    *("throw", "sitting down", "standing up", "clapping", "reading", "writing", "tear up paper"),
    *("wear jacket", "take off jacket", "wear a shoe", "take off a shoe", "wear on glasses"),
    *("take off glasses", "put on a hat/cap", "take off a hat/cap", "cheer up", "hand waving"),
    *("kicking something", "reach into pocket", "hopping", "jump up", "make a phone call"),
    *("playing with phone", "typing on a keyboard", "pointing with finger", "taking a selfie"),
    *("check time", "rub two hands together", "nod head/bow", "shake head", "wipe face", "salute"),
    *("put the palms together", "cross hands in front", "sneeze/cough", "staggering", "falling"),
    *("touch head", "touch chest", "touch back", "touch neck", "nausea", "use a fan"),
    *("punching other person", "kicking other person", "pushing other person"),
    *("pat on back of other person", "point finger at the other person", "hugging other person"),
    *("giving something to other person", "touch other person's pocket", "handshaking"),
    *("walking towards each other", "walking apart from each other", "put on headphone"),
    *("take off headphone", "shoot at the basket", "bounce ball", "tennis bat swing"),
    *("juggling table tennis balls", "hush", "flick hair", "thumb up", "thumb down"),
    *("make ok sign", "make victory sign", "staple book", "counting money", "cutting nails"),
    *("cutting paper", "snapping fingers", "open bottle", "sniff", "squat down", "toss a coin"),
    *("fold paper", "ball up paper", "play magic cube", "apply cream on face"),
    *("apply cream on hand back", "put on bag", "take off bag", "put something into a bag"),
    *("take something out of a bag", "open a box", "move heavy objects", "shake fist"),
    *("throw up cap/hat", "hands up", "cross arms", "arm circles", "arm swings"),
    *("running on the spot", "butt kicks", "cross toe touch", "side kick", "yawn"),
    *("stretch oneself", "blow nose", "hit other person with something"),
    *("wield knife towards other person", "knock over other person", "grab other person's stuff"),
    *("shoot at other person with a gun", "step on foot", "high-five", "cheers and drink"),
    *("carry something with other person", "take a photo of other person", "follow other person"),
    *("whisper in other person's ear", "exchange things with other person", "support somebody"),
    "finger-guessing game",
)
"""Class k is A(k + 1); the first 60 are NTU RGB+D 60. The authors' names, some shortened."""

TRAIN_SUBJECTS = frozenset(
    [1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38, 45, 46, 47, 49, 50]
    + [52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94]
    + [95, 97, 98, 100, 103]
)
"""Cross-subject, of both sets: NTU RGB+D 60 has the subjects up to 40."""
TRAIN_CAMERAS = frozenset([2, 3])

Protocol = Literal["cross_subject", "cross_view", "cross_setup"]

_NAME = re.compile(r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}")
_NAME_LENGTH = 20
_DEEPEST = 3  # folders under root
_SETUPS_60 = 17
_JOINTS = len(NTU25)
_TRACKED = 2


def load(
    root: str | Path,
    split: str = "train",
    *,
    protocol: Protocol = "cross_subject",
    classes: Literal[60, 120] = 60,
    missing: str | Path | None = None,
    keep_missing: bool = False,
    sides: Literal["picture", "kinect"] = "picture",
    step: int = 1,
    workers: int | None = None,
) -> list[Record]:
    """One record a sample, the main person's, in NTU25, in the order of the names.

    root: the folder over `nturgb+d_skeletons/` (.skeleton) and `nturgb+d_rgb/` (_rgb.avi), or over
    the original project's `nturgb+d_numpy/` (.npy) and `images-small/`, `images/` or the videos;
    the folders may have other names. Where there is no picture at all, records have none. Or what
    `poseact data convert ntu` made of one of these: crops and labels that open at once.

    split: train, test, all. protocol: cross_subject; cross_view (60 classes only; camera 1 is the
    test); cross_setup (120 only; even setups train). step: every step-th frame; the original
    project takes every 2nd before anything else. workers: processes that read skeleton files; None
    is all cores for many files, whose main bodies are kept in the cache (see `ntu_skeletons`).

    missing: the authors' list of samples with missing or incomplete skeletons (302 of 56,880, 535
    of 114,480), a text file; those are left out, as are samples without a body in any frame or
    without a skeleton file. A warning says how many. keep_missing: keep them all, their unknown
    joints NaN.

    xy: px of the 1920 x 1080 colour picture (960 x 540 with `images-small/`); the Kinect is taken
    to count from pixel centres. A joint may lie outside the picture. xyz: mm from the Kinect, in
    the axes of the picture. In the .npy form only z is known of it. visible: the Kinect saw the
    joint, rather than inferred it. A frame without the person is NaN, and so is its box.

    sides: the Kinect's pictures are mirror images, but its joints are named as on the real person.
    "picture" (as in the original project's tables) names them as they look: a person facing us has
    the right hand on the left of the picture, as in every other data set. "kinect" leaves them.

    Raises FileNotFoundError, or ValueError for a damaged file or options that do not fit.
    """
    if classes not in (60, 120) or step < 1 or (workers is not None and workers < 1):
        raise ValueError(
            f"classes are 60 or 120, step and workers at least 1, got {classes}, {step}, {workers}"
        )
    if (Path(root) / "all" / pack.INDEX).is_file():
        wanted = {"split": split, "protocol": protocol, "classes": classes}
        listed = frozenset() if missing is None else _listed(missing)
        return _packed(Path(root), listed, step=step, flip=sides == "kinect", **wanted)
    samples = _of_set(_find(Path(root)), classes)
    names = _of_split(sorted(samples), split, protocol, classes)
    listed = frozenset() if missing is None else _listed(missing)
    chosen = [samples[name] for name in names if keep_missing or name not in listed]
    form = _form(chosen, Path(root))
    seen: dict[str, np.ndarray] = {}
    if form.labels == "skeleton":  # of all splits, if there are many: they share what is kept
        wanted = samples.values() if len(samples) >= MANY else chosen
        seen = bodies({s.name: s.skeleton for s in wanted if s.skeleton}, workers=workers)
    picture = sides == "picture"
    records = [_read(s, seen.get(s.name), form=form, step=step, picture=picture) for s in chosen]
    empty = [r.source for r in records if np.isnan(r.xy).all()]
    if not keep_missing:
        records = [r for r in records if r.source not in set(empty)]
    _warn(len(listed & set(names)), empty, "kept, without joints" if keep_missing else "left out")
    if not records:
        raise ValueError(f"{root}: no sample of split {split} of {protocol}, {classes} classes")
    return records


def _packed(
    root: Path,
    listed: frozenset[str],
    *,
    split: str,
    protocol: str,
    classes: int,
    step: int,
    flip: bool,
) -> list[Record]:
    """The records of a set that was packed whole, without those listed."""
    records = {r.source.removeprefix("ntu/"): r for r in pack.load(root, "all")}
    mine = _of_set({name: _Sample(name) for name in records}, classes)
    names = [n for n in _of_split(sorted(mine), split, protocol, classes) if n not in listed]
    if not names:
        raise ValueError(f"{root}: no sample of split {split} of {protocol}, {classes} classes")
    joints = list(NTU25.flip) if flip else list(range(_JOINTS))
    return [_thinned(records[name], step, joints) for name in names]


def _thinned(record: Record, step: int, joints: list[int]) -> Record:
    """Every step-th frame, joints in another order."""

    def part(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[::step][:, joints]

    return replace(
        record,
        frame=record.frame and EveryNth(record.frame, step),
        xy=record.xy[::step][:, joints],
        xyz=part(record.xyz),
        visible=part(record.visible),
        box=None if record.box is None else record.box[::step],
    )


@dataclass(frozen=True)
class EveryNth:
    """Frame t of a clip is frame t * step of another."""

    frames: Callable[[int], np.ndarray]
    step: int

    def __call__(self, t: int) -> np.ndarray:
        """uint8 RGB (H, W, 3)."""
        return self.frames(t * self.step)


# --------------------------------------------------------------------------- files and protocols


@dataclass(frozen=True)
class _Sample:
    """What there is of a sample. pictures: a folder of 00001.jpg, ...; small: of half size."""

    name: str
    skeleton: Path | None = None
    table: Path | None = None
    video: Path | None = None
    pictures: Path | None = None
    small: bool = False

    def number(self, letter: str) -> int:
        """Setup S, camera C, person P, repetition R or action A."""
        start = self.name.index(letter) + 1
        return int(self.name[start : start + 3])


@dataclass(frozen=True)
class _Form:
    """What all samples of a split are read from."""

    labels: Literal["skeleton", "table"]
    frames: Literal["video", "pictures", "none"]


def _find(root: Path) -> dict[str, _Sample]:
    """Samples by name: every file of theirs at most `_DEEPEST` folders below root."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    samples: dict[str, _Sample] = {}
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        found = [f for f in folders if _NAME.fullmatch(f)]
        deep = len(here.relative_to(root).parts) >= _DEEPEST
        folders[:] = [] if deep else [f for f in folders if not _NAME.fullmatch(f)]
        for entry in sorted(found + files):
            kind = _kind(entry, is_folder=entry in found)
            if kind is None:
                continue
            name = entry[:_NAME_LENGTH]
            sample = samples.get(name, _Sample(name))
            if kind == "pictures":  # as the original project: the small ones where there are both
                if sample.small:
                    continue
                sample = replace(sample, small=here.name == "images-small")
            samples[name] = replace(sample, **{kind: here / entry})
    if not any(s.skeleton or s.table for s in samples.values()):
        raise FileNotFoundError(
            f"no NTU RGB+D in {root}: looked for S001C001P001R001A001.skeleton and .npy, "
            f"at most {_DEEPEST} folders deep"
        )
    return samples


def _kind(entry: str, *, is_folder: bool) -> str | None:
    stem, suffix = os.path.splitext(entry)
    if not _NAME.fullmatch(stem.removesuffix("_rgb")):
        return None
    if is_folder:
        return "pictures"
    if suffix.lower() in VIDEO_SUFFIXES:
        return "video"
    return {".skeleton": "skeleton", ".npy": "table"}.get(suffix)


def _of_set(samples: dict[str, _Sample], classes: int) -> dict[str, _Sample]:
    if classes == 120:
        return samples
    mine = {name: s for name, s in samples.items() if s.number("S") <= _SETUPS_60}
    if len(mine) < len(samples):
        warnings.warn(
            f"{len(samples) - len(mine)} samples of NTU RGB+D 120 are not of the 60 classes' set; "
            "classes=120 takes them",
            stacklevel=3,
        )
    return mine


def _of_split(names: list[str], split: str, protocol: str, classes: int) -> list[str]:
    trains: dict[str, Callable[[_Sample], bool]] = {
        "cross_subject": lambda s: s.number("P") in TRAIN_SUBJECTS,
    }
    if classes == 60:
        trains["cross_view"] = lambda s: s.number("C") in TRAIN_CAMERAS
    else:
        trains["cross_setup"] = lambda s: s.number("S") % 2 == 0
    if protocol not in trains:
        raise ValueError(f"{classes} classes have {', '.join(trains)}; got {protocol!r}")
    if split not in ("train", "test", "all"):
        raise ValueError(f"NTU RGB+D has the splits train, test, all; got {split!r}")
    return [
        name
        for name in names
        if split == "all" or trains[protocol](_Sample(name)) == (split == "train")
    ]


def _listed(path: str | Path) -> frozenset[str]:
    """The names in a text file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such list of samples with missing skeletons")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: too large for a list of samples")
    names = frozenset(_NAME.findall(path.read_text(errors="replace")))
    if not names:
        raise ValueError(f"{path}: names no sample, such as S001C002P005R002A008")
    return names


def _form(samples: list[_Sample], root: Path) -> _Form:
    """Pictures where there are any, else videos; then all samples must have them."""
    labels = "skeleton" if any(s.skeleton for s in samples) else "table"
    for frames in ("pictures", "video"):
        lacking = [s.name for s in samples if getattr(s, frames) is None]
        if len(lacking) < len(samples):
            if lacking:
                raise FileNotFoundError(
                    f"{root}: {len(lacking)} of {len(samples)} samples have no {frames}, "
                    f"the first is {lacking[0]}"
                )
            return _Form(labels, frames)
    return _Form(labels, "none")


def _warn(listed: int, empty: list[str], what: str) -> None:
    if listed or empty:
        example = f", such as {empty[0]}" if empty else ""
        warnings.warn(
            f"NTU RGB+D: {listed} samples of the list of missing skeletons, and {len(empty)} more "
            f"without a body{example}, are {what}",
            stacklevel=3,
        )


# ---------------------------------------------------------------------------------------- reading


def _read(
    sample: _Sample, body: np.ndarray | None, *, form: _Form, step: int, picture: bool
) -> Record:
    """body: of its skeleton file, if it is read from one."""
    table: Path | None = sample.table if form.labels == "table" else None
    small = form.frames == "pictures" and sample.small
    if table is not None:
        with understood(table):
            body, numbers = _table(table)
    elif body is not None:
        numbers = np.arange(1, len(body) + 1)
    else:
        length = _length(sample, form)
        body, numbers = np.full((length, _JOINTS, 6), np.nan), np.arange(1, length + 1)
    body, numbers = body[::step], numbers[::step]
    if picture:
        body = body[:, list(NTU25.flip)]
    # From the centre of the first pixel to its corner; then the smaller picture is exactly half.
    xy = ((body[..., 3:5] + 0.5) * (0.5 if small else 1.0)).astype(np.float32)
    return Record(
        _frames(sample, form, numbers),
        xy,
        NTU25,
        xyz=(body[..., :3] * [1000.0, -1000.0, 1000.0]).astype(np.float32),
        visible=body[..., 5] == _TRACKED,
        box=box_around(xy),
        action=sample.number("A") - 1,
        source=f"ntu/{sample.name}",
        subject=f"P{sample.number('P'):03d}",
        view=f"C{sample.number('C'):03d}",
    )


def _table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(T, 25, 6) as `main_body`, of x y z only z; (T,) numbers of the frames."""
    rows = read_npy(path, max_bytes=MAX_BYTES)
    if rows.ndim != 2 or rows.shape[1] != 1 + 6 * _JOINTS:
        raise ValueError(f"{path}: rows are (frames, {1 + 6 * _JOINTS}), got {rows.shape}")
    u, v, depth = np.moveaxis(rows[:, 1 + 3 * _JOINTS :].reshape(len(rows), 3, _JOINTS), 1, 0)
    body = np.full((len(rows), _JOINTS, 6), np.nan)
    body[..., 2], body[..., 3], body[..., 4], body[..., 5] = depth / 1000.0, u, v, _TRACKED
    body[~((u > 0) & (v > 0) & (depth > 0))] = np.nan  # the original project's rule
    return body, rows[:, 0].astype(int)


def _length(sample: _Sample, form: _Form) -> int:
    if form.frames == "pictures" and sample.pictures:
        return len(_listing(sample.pictures))
    return count_frames(sample.video, exact=False) if form.frames == "video" and sample.video else 0


def _frames(
    sample: _Sample, form: _Form, numbers: np.ndarray
) -> ImageSequence | VideoFrames | None:
    """numbers: (T,) of the frames, the first of a sample is 1."""
    if form.frames == "pictures" and sample.pictures:
        paths = [sample.pictures / f"{number:05d}.jpg" for number in numbers]
        missing = sorted({path.name for path in paths} - set(_listing(sample.pictures)))
        if missing:
            raise FileNotFoundError(
                f"{sample.pictures}: {len(missing)} pictures are missing, the first is {missing[0]}"
            )
        return ImageSequence(paths)
    if form.frames == "video" and sample.video:
        return VideoFrames(VideoFile(sample.video), tuple(int(n) - 1 for n in numbers))
    return None


def _listing(folder: Path) -> list[str]:
    return [entry for entry in os.listdir(folder) if entry.endswith(".jpg")]


@dataclass(frozen=True)
class VideoFrames:
    """Frame t of a clip is frame indices[t] of a video."""

    video: VideoFile
    indices: tuple[int, ...]

    def __call__(self, t: int) -> np.ndarray:
        """uint8 RGB (H, W, 3)."""
        return self.video(self.indices[t])
