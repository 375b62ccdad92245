"""What is in a data set and what is wrong with it, before a training run finds out.

Each record is read once and not kept; what is kept is a digest (for duplicates) and one row
of bone lengths a record. A fault is counted once a record. Of the pictures a sample is read unless
all are asked for, but the files that a record names are sought for every record.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from poseact.core.camera import distort
from poseact.core.geometry import box_around
from poseact.core.layouts import Layout, convert
from poseact.core.types import NO_ACTION, Camera, Record
from poseact.data.nobody import FAR_PX

EXAMPLES = 3
_OUTSIDE = 0.02  # of the longer side: how far beside the picture a visible joint may be
_FAR_OUTSIDE = 0.25  # the same, where nothing says which joints are visible
_FAR_FROM_BOX = 0.5  # of the box's longer side
_SMALLEST_SIDE = 16  # px
_TRUNK_MM = (200.0, 900.0)
_BONE_CHANGE, _BONE_CHANGE_MM = 0.5, 150.0  # within a record
_BONE_UNLIKE, _BONE_UNLIKE_MM = 0.25, 30.0  # from the subject's median
_FEWEST_OF_A_SUBJECT = 5
_UNBALANCED = 10
_AGAINST = "left/right: shoulders against hips"
_CHANGE = "left/right: sides change places"
_BACKWARDS = "left/right: knees bend backwards"

FATAL = {
    "split without records": "is the folder the right one?",
    "labels of the wrong shape": "the reader is wrong, or the file is damaged",
    "infinite coordinates": "unknown is NaN; gradients of an infinite label are not numbers",
    "class out of range": "classes count from 0 and are known by name; none is -1",
    "record without pictures": "others have them; leave it out or restore them",
    "picture missing": "restore the file or leave its record out",
    "picture unreadable": "copy or download the file again",
    "picture of the wrong form": "frames are uint8 RGB (H, W, 3) of at least 16 px a side",
    "box is a point": "leave it NaN (the whole picture) or give it a size",
}
"""Faults that training would stop at, and the mend."""

DOUBTFUL = {
    "nothing known": "no joint and no class: nothing is learnt from it",
    "no pictures at all": "good for recognition from skeletons only",
    "picture size changes": "within a record; are two clips mixed in one folder?",
    "picture size unlike its view": "most pictures of this source and view have another size",
    "joint outside the picture": "is the joint wrong, or the picture cut or scaled?",
    "most joints outside the picture": "is the picture cut or scaled?",
    "box upside down or flat": "a box is x0 y0 x1 y1 with x1 > x0 and y1 > y0",
    "joint far from its box": "a box is just around the person; is it another's?",
    _AGAINST: "turned by more than 120 degrees; one pair is exchanged?",
    _CHANGE: "from one frame to the next; exchanged in one of them?",
    _BACKWARDS: "exchanged throughout, or an axis points the other way",
    "3D is not in millimetres": "the trunk is shorter than 200 mm or longer than 900",
    "bone length changes": "by over half and 150 mm within a record; a joint is misplaced",
    "bone length unlike the subject's": "by more than a quarter; another person, or misplaced",
    "xyz does not project onto xy": "camera, 3D and 2D do not belong together",
    "record twice": "the same labels again in the same split",
    "record in two splits": "what is tested was trained on",
    "class without records": "in this split",
    "class only tested": "no record of it in the split train",
    "classes unbalanced": "the largest has over 10 times the records of these",
}
"""Faults that training would not notice, and what they may mean."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault: `count` of `tested` records (or splits, or classes) have it."""

    kind: str
    count: int
    tested: int
    examples: tuple[str, ...]
    mend: str
    fatal: bool

    def __str__(self) -> str:
        examples = ", ".join(self.examples) + ", ..." * (self.count > len(self.examples))
        found = f"{self.kind}: {self.count} of {self.tested} ({examples}); {self.mend}"
        return f"{'FATAL' if self.fatal else 'check'}  {found}"


@dataclass(frozen=True)
class Report:
    """What was found. counts: "split", "subject", "view", "layout", "action in SPLIT" -> name ->
    records. pictures: how many were read. Fatal faults come first."""

    records: int
    frames: int
    pictures: int
    counts: dict[str, dict[str, int]]
    faults: tuple[Fault, ...]

    @property
    def fatal(self) -> bool:
        """Whether training would fail."""
        return any(fault.fatal for fault in self.faults)

    def lines(self) -> list[str]:
        """The report to print: what there is, then a line for each kind of fault."""
        head = f"{self.records} records, {self.frames} frames; {self.pictures} pictures read"
        counts = [f"{what}: {_listed(names)}" for what, names in self.counts.items()]
        return [head, *counts, *(map(str, self.faults) if self.faults else ["no fault found"])]


def check(
    splits: Mapping[str, Sequence[Record]],
    *,
    labels: Sequence[str] = (),
    pictures: int = 1000,
    full: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check all records of the splits; the faults are those of `FATAL` and `DOUBTFUL`.

    labels: names of the classes, if known. pictures: about how many records have pictures read (the
    first frame and another); full: every frame of every record is. progress: is told of records as
    they are done.

    Left and right are doubted by three statistics, see `_sides_in_doubt`. `Fault.tested` says how
    many records a statistic could judge.
    """
    if not splits:
        raise ValueError("nothing to check: give a split and its records at least")
    total = sum(len(records) for records in splits.values())
    stride = 1 if full else max(1, math.ceil(total / max(pictures, 1)))
    state = _State(tuple(labels), full, np.random.default_rng(0))
    state.tested["split without records"] = len(splits)
    number = 0
    for split, records in splits.items():
        if not len(records):
            state.add("split without records", split)
        for i, record in enumerate(records):
            _check_record(record, split, i, state, read=number % stride == 0)
            number += 1
            if progress is not None:
                progress(1)
    _after_all(state, splits)
    return state.report(number)


@dataclass
class _State:
    """What is counted and kept while records pass by."""

    labels: tuple[str, ...]
    full: bool
    rng: np.random.Generator
    count: Counter[str] = field(default_factory=Counter)
    tested: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    names: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    by_class: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    frames: int = 0
    pictures: int = 0
    seen: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    bones: dict[tuple[str, ...], list] = field(default_factory=lambda: defaultdict(list))
    sizes: dict[tuple[str, str], list] = field(default_factory=lambda: defaultdict(list))
    unseen: list[str] = field(default_factory=list)  # records without pictures

    def add(self, kind: str, where: str) -> None:
        self.count[kind] += 1
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(where)

    def class_name(self, action: int) -> str:
        return self.labels[action] if 0 <= action < len(self.labels) else f"class {action}"

    def report(self, records: int) -> Report:
        mends = FATAL | DOUBTFUL
        faults = []
        for kind in (kind for kind in mends if self.count[kind]):
            found, tested = self.count[kind], self.tested.get(kind, records)
            examples = tuple(self.examples[kind])
            faults.append(Fault(kind, found, tested, examples, mends[kind], kind in FATAL))
        counts = {what: dict(names) for what, names in self.names.items()}
        for split, classes in self.by_class.items():
            named = {self.class_name(k): n for k, n in sorted(classes.items())}
            counts[f"action in {split}"] = named
        return Report(records, self.frames, self.pictures, counts, tuple(faults))


def _check_record(record: Record, split: str, i: int, state: _State, *, read: bool) -> None:
    where = f"{split}[{i}]"
    subject, view, layout = record.subject, record.view, record.layout.name
    names = {"split": split, "subject": subject, "view": view, "layout": layout}
    for what, name in names.items():
        if name:
            state.names[what][name] += 1
    state.frames += len(record)
    action = NO_ACTION if record.action is None else record.action
    if action != NO_ACTION:
        state.by_class[split][action] += 1
        if action < 0 or (state.labels and action >= len(state.labels)):
            state.add("class out of range", f"{where} {action}")
    wrong = _wrong_shapes(record)
    if wrong:
        state.add("labels of the wrong shape", f"{where} {wrong}")
        return  # nothing below would make sense of it
    if (record.xy == FAR_PX).all():  # nobody is in it: nothing to judge but the picture
        record = replace(record, xy=np.full_like(record.xy, np.nan), action=NO_ACTION)
    _find_duplicates(record, split, i, state)
    for kind in _label_faults(record, where, state):
        state.add(kind, where)
    _check_pictures(record, where, state, read=read)


def _wrong_shapes(record: Record) -> str:
    """What is not (T, J, ...) of the record's own layout; empty if all is."""
    length, joints = len(record), len(record.layout)
    axes = {"xy": (joints, 2), "xyz": (joints, 3), "visible": (joints,), "box": (4,)}
    for name, rest in {**axes, "scale_px": ()}.items():
        shape = (length, *rest)
        value = getattr(record, name)
        if value is not None and (np.shape(value) != shape or not length):
            return f"{name} {np.shape(value)}, not {(max(length, 1), *rest)}"
    return ""


def _find_duplicates(record: Record, split: str, i: int, state: _State) -> None:
    """By the labels; of a record without any, by the files it names."""
    values = [v for v in (record.xy, record.xyz) if v is not None and np.isfinite(v).any()]
    text = b"".join(v.tobytes() for v in values)
    if not text and _files(record.frame):
        text = repr(record.frame).encode()
    if not text:
        return
    digest = hashlib.blake2b(text, digest_size=16).digest()
    first, number = state.seen.setdefault(digest, (split, i))
    if (first, number) != (split, i):
        kind = "record twice" if first == split else "record in two splits"
        state.add(kind, f"{split}[{i}] = {first}[{number}]")


# -------------------------------------------------------------------------------------- labels


def _label_faults(record: Record, where: str, state: _State) -> Iterator[str]:
    values = [record.xy] + ([] if record.xyz is None else [record.xyz])
    if any(np.isinf(v).any() for v in values):
        yield "infinite coordinates"
        return
    deep = record.xyz is not None and np.isfinite(record.xyz).any()
    if not np.isfinite(record.xy).any() and not deep and record.action is None:
        yield "nothing known"
    yield from _box_faults(record)
    points = record.xyz if deep else record.xy
    assert points is not None
    limbs = convert(points.astype(np.float64), record.layout, _LIMBS, derive=False)
    for kind, verdict in _sides_in_doubt(limbs).items():
        state.tested[kind] += verdict is not None
        if verdict:
            yield kind
    if deep:
        yield from _depth_faults(record, points.astype(np.float64), limbs, where, state)


def _box_faults(record: Record) -> Iterator[str]:
    if record.box is None:
        return
    whole = np.isfinite(record.box).all(-1)
    extent = (record.box[:, 2:] - record.box[:, :2])[whole]
    if (extent == 0).all(-1).any():
        yield "box is a point"
    elif (extent <= 0).any():
        yield "box upside down or flat"
    elif whole.any():
        box, xy = record.box[whole], record.xy[whole]
        beside = np.maximum(box[:, None, :2] - xy, xy - box[:, None, 2:]).max(-1)  # T J
        if (beside > _FAR_FROM_BOX * extent.max(-1)[:, None]).any():  # NaN is not
            yield "joint far from its box"


_LIMBS = Layout(
    "LIMBS",
    tuple(f"{side}_{part}" for part in ("shoulder", "hip", "knee", "ankle") for side in "lr"),
    (-1,) * 8,
)


def _sides_in_doubt(limbs: np.ndarray) -> dict[str, bool | None]:
    """Three verdicts on left and right from `_LIMBS` points (T, 8, 2 or 3); None: cannot tell.

    Shoulders against hips: nobody turns them by 120 degrees against each other, so one pair is
    exchanged. Judged where both are wider than 0.3 trunks; true for over a tenth of those frames.
    Sides change places: shoulders and hips both come closer to where the other side was in the
    frame before (less than 0.3 of the way) than to their own place. Neither can see a whole record
    that is exchanged, since a person seen from behind looks the same. Knees bend backwards (3D, so
    that facing is known): left to right and the trunk give the front; a knee that is off the line
    from hip to ankle by over 0.16 of the leg is bent, and a bent knee points to the front. Kinect's
    straight legs bend back by up to 0.08. True where most are behind, of 3 at least in a clip.
    """
    left, right = limbs[:, ::2], limbs[:, 1::2]  # T, shoulder hip knee ankle, D
    across = (left - right)[:, :2]
    up = (left + right)[:, 0] / 2 - (left + right)[:, 1] / 2
    width = np.linalg.norm(across, axis=-1)  # T 2
    wide = (width > 0.3 * np.linalg.norm(up, axis=-1)[:, None]).all(-1)  # False where unknown
    turn = (across[:, 0] * across[:, 1]).sum(-1)[wide] / width[wide].prod(-1)

    pairs = limbs[:, :4].reshape(len(limbs), 2, 2, -1)
    stay = np.linalg.norm(pairs[1:] - pairs[:-1], axis=-1).sum(-1)
    cross = np.linalg.norm(pairs[1:] - pairs[:-1, :, ::-1], axis=-1).sum(-1)
    both = wide[1:] & wide[:-1]

    bend = np.empty(0)
    if limbs.shape[-1] == 3:
        front = np.cross(across.sum(1), up)
        front /= np.maximum(np.linalg.norm(front, axis=-1, keepdims=True), 1e-9)
        hip, knee, ankle = (np.stack([left[:, k], right[:, k]], 1) for k in (1, 2, 3))
        leg = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
        bend = ((knee - (hip + ankle) / 2) * front[:, None]).sum(-1) / np.maximum(leg, 1e-9)
        bend = bend[np.abs(bend) > 0.16]
    bent = bend.size >= min(3, len(limbs))
    return {
        _AGAINST: bool((turn < -0.5).mean() > 0.1) if turn.size else None,
        _CHANGE: bool((cross < 0.3 * stay)[both].all(-1).any()) if both.any() else None,
        _BACKWARDS: bool((bend < 0).mean() > 0.5) if bent else None,
    }


def _depth_faults(
    record: Record, xyz: np.ndarray, limbs: np.ndarray, where: str, state: _State
) -> Iterator[str]:
    edges = np.array(record.layout.edges)
    lengths = np.linalg.norm(xyz[:, edges[:, 0]] - xyz[:, edges[:, 1]], axis=-1)  # T E
    middle = _median(lengths)
    off = np.abs(lengths - middle)
    if (off > np.maximum(_BONE_CHANGE * middle, _BONE_CHANGE_MM)).any():
        yield "bone length changes"
    up = limbs[:, :2].mean(1) - limbs[:, 2:4].mean(1)
    size = _median(np.linalg.norm(up, axis=-1)[:, None])[0]
    if size < _TRUNK_MM[0] or size > _TRUNK_MM[1]:
        yield "3D is not in millimetres"
    if record.subject:
        key = (record.source.split("/")[0], record.subject, record.layout.name)
        state.bones[key].append((where, middle.astype(np.float32)))
    if record.camera is not None and _projects_elsewhere(record.camera, record, xyz):
        yield "xyz does not project onto xy"


def _projects_elsewhere(camera: Camera, record: Record, xyz: np.ndarray) -> bool:
    """By more than 3 px and 3 % of the person's size, for half of the joints."""
    ahead = np.where(xyz[..., 2:] > 0, xyz[..., 2:], np.nan)
    xy = distort(xyz[..., :2] / ahead, camera.k, camera.p) * camera.f + camera.c
    error = _median(np.linalg.norm(xy - record.xy, axis=-1).reshape(-1, 1))[0]
    box = box_around(record.xy.reshape(-1, 2))
    return bool(error > max(3.0, 0.03 * (box[2:] - box[:2]).max()))  # False where unknown


def _median(values: np.ndarray) -> np.ndarray:
    """Of the known values of each column (N, E) -> (E,); NaN for a column without."""
    columns = [column[np.isfinite(column)] for column in values.T]
    return np.array([np.median(c) if c.size else np.nan for c in columns])


# ------------------------------------------------------------------------------------- pictures


def _check_pictures(record: Record, where: str, state: _State, *, read: bool) -> None:
    if record.frame is None:
        state.unseen.append(where)
        return
    missing = [path for path in _files(record.frame) if not path.is_file()]
    if missing:
        state.add("picture missing", f"{where} {missing[0]}")
        return
    if not read:
        return
    other = int(state.rng.integers(len(record)))
    shape: tuple[int, ...] | None = None
    kinds: dict[str, str] = {}
    for t in range(len(record)) if state.full else sorted({0, other}):
        try:
            picture = record.frame(t)
        except Exception as error:  # whatever a decoder says, it is the report that matters
            kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            kinds.setdefault(f"picture {kind}", f"{where} frame {t}: {str(error)[:160]}")
            continue
        state.pictures += 1
        if not _is_picture(picture):
            form = f"{getattr(picture, 'dtype', type(picture))} {np.shape(picture)}"
            kinds.setdefault("picture of the wrong form", f"{where} frame {t} is {form}")
            continue
        if shape is not None and picture.shape != shape:
            kinds.setdefault("picture size changes", f"{where} frame {t}")
        shape = shape or picture.shape
        for kind in _outside(record, t, picture.shape):
            kinds.setdefault(kind, f"{where} frame {t}")
    for kind, example in kinds.items():
        state.add(kind, example)
    if shape is not None:
        state.sizes[record.source.split("/")[0], record.view].append((where, shape[:2]))


def _files(frame: object) -> tuple[Path, ...]:
    """The files that a frame reader names in `path` or `paths`."""
    paths: Any = getattr(frame, "paths", None) or (getattr(frame, "path", None),)
    return tuple(path for path in paths if isinstance(path, Path))


def _is_picture(value: Any) -> bool:
    is_array = isinstance(value, np.ndarray) and value.dtype == np.uint8
    return is_array and value.shape[2:] == (3,) and min(value.shape[:2]) >= _SMALLEST_SIDE


def _outside(record: Record, t: int, shape: tuple[int, ...]) -> Iterator[str]:
    xy = record.xy[t]
    known = np.isfinite(xy).all(-1)
    if not known.any():
        return
    beside = np.maximum(-xy, xy - np.array(shape[1::-1])).max(-1)  # px
    far = (_FAR_OUTSIDE if record.visible is None else _OUTSIDE) * max(shape[:2])
    seen = known if record.visible is None else known & np.asarray(record.visible[t], bool)
    if (beside > 0)[known].mean() > 0.5:
        yield "most joints outside the picture"
    elif (beside > far)[seen].any():
        yield "joint outside the picture"


# ------------------------------------------------------------------------- when all are seen


def _after_all(state: _State, splits: Mapping[str, Sequence[Record]]) -> None:
    everything = sum(len(records) for records in splits.values())
    kind = "no pictures at all" if len(state.unseen) == everything else "record without pictures"
    for where in state.unseen:
        state.add(kind, where)
    _odd_sizes(state)
    _odd_bones(state)
    _classes(state, splits)


def _odd_sizes(state: _State) -> None:
    """Where nine of ten pictures of a source and view have one size, the others are odd."""
    kind = "picture size unlike its view"
    for rows in state.sizes.values():
        ((common, count),) = Counter(size for _, size in rows).most_common(1)
        state.tested[kind] += len(rows)
        if len(rows) >= 10 and count >= 0.9 * len(rows):
            for where, size in rows:
                if size != common:
                    usual = f"{size[1]}x{size[0]}, not {common[1]}x{common[0]}"
                    state.add(kind, f"{where} {usual}")


def _odd_bones(state: _State) -> None:
    """A quarter off the subject's median, and beyond what its records vary by.

    The second rule (six robust standard deviations) is for sets that call many people one subject.
    """
    kind = "bone length unlike the subject's"
    for rows in state.bones.values():
        if len(rows) < _FEWEST_OF_A_SUBJECT:
            continue
        state.tested[kind] += len(rows)
        lengths = np.stack([length for _, length in rows])  # N E
        middle = _median(lengths)
        spread = 1.4826 * _median(np.abs(lengths - middle))
        limit = np.maximum(_BONE_UNLIKE * middle, np.maximum(6 * spread, _BONE_UNLIKE_MM))
        for row in np.flatnonzero((np.abs(lengths - middle) > limit).any(-1)):
            state.add(kind, rows[row][0])


def _classes(state: _State, splits: Mapping[str, Sequence[Record]]) -> None:
    present = set().union(*state.by_class.values()) if state.by_class else set()
    wanted = set(range(len(state.labels))) or present
    if not present:
        return
    names = ("class without records", "class only tested", "classes unbalanced")
    state.tested.update({name: len(wanted | present) for name in names})
    for split in splits:
        counts = state.by_class.get(split, Counter())
        for action in sorted(wanted - counts.keys()) if counts else ():
            state.add("class without records", f"{split} {state.class_name(action)}")
    trained = state.by_class.get("train", Counter())
    most = max(trained.values(), default=0)
    for action in sorted(present - trained.keys()) if trained else ():
        state.add("class only tested", state.class_name(action))
    for action, count in sorted(trained.items()):
        if count * _UNBALANCED < most:
            state.add("classes unbalanced", f"{state.class_name(action)} {count} to {most}")


def _listed(names: Mapping[str, int]) -> str:
    """`a 3, b 2`, no more than the first 20."""
    shown = [f"{name} {count}" for name, count in list(names.items())[:20]]
    return ", ".join(shown) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
