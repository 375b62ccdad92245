"""Any records as a packed set that trains at full speed: one index, large files of JPEG bytes.

    OUT/SPLIT/index.npz                    labels of all records, where each frame lies, checksums
    OUT/SPLIT/shard_FIRST_LAST_K.bin       JPEG after JPEG, at most 256 MB, of records FIRST..LAST-1

Packing goes by units of records. A unit's bytes are read back and compared with their checksums
before its table is renamed into place, and the index, made of all tables, is renamed last: a folder
with an index is whole, and packing goes on where it was stopped. Every frame is checked again each
time it is read, so nothing is trained on a damaged picture unnoticed.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from poseact.core.files import Unfinished, remove_unfinished, whole_file
from poseact.core.geometry import square, transform, union
from poseact.core.layouts import Layout, layout_named
from poseact.core.reading import understood
from poseact.core.types import NO_ACTION, Camera, Record
from poseact.data.archives import read_npz

INDEX = "index.npz"
_FORMAT = 1  # raise it when the files change
_UNIT_FRAMES = 4096  # what is made again if packing is stopped
_SHARD_BYTES = 256_000_000
_CAMERA = (("R", (3, 3)), ("t", (3,)), ("f", (2,)), ("c", (2,)), ("k", (3,)), ("p", (2,)))
_OPTIONAL = ("frame", "xyz", "visible", "box", "scale_px", "camera")  # the columns of `has`
_PER_RECORD = ("length", "action", "source", "subject", "view", "matrix", "camera", "has")
_PER_FRAME = ("xy", "xyz", "visible", "box", "scale_px", "where")

Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class Options:
    """What is done to the pictures; see `pack`."""

    size: int | None = None
    margin: float | None = None
    quality: int = 90

    def __post_init__(self) -> None:
        small = self.size is not None and self.size < 1
        tight = self.margin is not None and not self.margin > 0
        if small or tight or not 1 <= self.quality <= 100:
            raise ValueError(f"size is at least 1 px, margin > 0, quality 1..100, got {self}")


def pack(
    records: Sequence[Record],
    out: str | Path,
    *,
    split: str = "train",
    size: int | None = None,
    margin: float | None = None,
    quality: int = 90,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write the records to OUT/SPLIT, go on where an earlier call was stopped; gives the index.

    size: the longer side of a stored picture is at most this, px. margin: store only the square
    around all boxes of a record, its side times margin, as far as the picture goes (without a box:
    all of it); leave more than training will want to turn and enlarge. Points, boxes, cameras and
    head sizes follow the crop, so a packed record is right in itself; `PackedFrames.to_source`
    leads back. quality: of the JPEG. workers: processes (with more than one, a script needs its
    `if __name__ == "__main__"`). progress: is told of records as they are done.

    All records have one layout. Equal pictures of a unit, as of several persons in one photo, are
    stored once. A finished folder of the same records and options is left as it is; ValueError if
    it is of others. A picture that cannot be read stops the packing with its own error.
    """
    options = Options(size=size, margin=margin, quality=quality)
    if not len(records) or workers < 1 or Path(split).name != split:
        raise ValueError(
            f"packing needs records, at least 1 worker and a plain name for the split; "
            f"got {len(records)}, {workers} and {split!r}"
        )
    layouts = {record.layout.name for record in records}
    if len(layouts) > 1:
        raise ValueError(f"a packed set has one layout, these have {', '.join(sorted(layouts))}")
    folder = Path(out) / split
    folder.mkdir(parents=True, exist_ok=True)
    units = _units([len(record) for record in records])
    marks = [_mark(records[a:b], options) for a, b in units]
    index = folder / INDEX
    tell = progress or _silent
    if index.is_file():
        if str(_read_index(folder)["mark"]) != _joined(marks):
            raise ValueError(f"{folder} is packed from other records or options; delete it first")
        tell(len(records))
        return index
    remove_unfinished(folder)
    jobs = []
    for span, mark in zip(units, marks, strict=True):
        if _is_whole(folder, span, mark):
            tell(span[1] - span[0])
        else:
            jobs.append((records[slice(*span)], folder, span, mark, options))
    _run(jobs, workers, tell)
    tables = [read_npz(_table_file(folder, span)) for span in units]
    _save(index, _merge(tables), mark=_joined(marks), layout=layouts.pop())
    kept = {str(name) for table in tables for name in table["files"]}
    for leftover in folder.glob("shard_*"):
        if leftover.name not in kept:
            leftover.unlink()
    return index


def load(root: str | Path, split: str = "train") -> list[Record]:
    """The records of a packed split, in the order they were packed, in the stored pictures' px.

    Raises FileNotFoundError if there is no index or a shard is missing, ValueError if the index is
    damaged or a shard has another length than it had.
    """
    folder = Path(root) / split
    with understood(folder / INDEX):
        return _load(folder, _read_index(folder))


def _load(folder: Path, table: Table) -> list[Record]:
    paths = [folder / str(name) for name in table["files"]]
    for path, size in zip(paths, table["file_bytes"], strict=True):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; the index of {folder} needs it")
        if path.stat().st_size != size:
            raise ValueError(
                f"{path} has {path.stat().st_size} bytes, the index says {size}; pack it again"
            )
    layout = layout_named(str(table["layout"]))
    ends = np.cumsum(table["length"]).tolist()
    starts = [0, *ends[:-1]]
    return [_record(table, paths, layout, i, slice(*ab)) for i, ab in enumerate(zip(starts, ends))]


def verify(
    root: str | Path, split: str = "train", *, progress: Callable[[int], None] | None = None
) -> list[str]:
    """What is wrong with a packed split, a line each; empty if every byte is as it was written.

    progress: is told of shards as they are done. Raises as `load` if the index itself is missing
    or damaged.
    """
    folder = Path(root) / split
    with understood(folder / INDEX):
        return _faults(folder, _read_index(folder), progress or _silent)


@dataclass(frozen=True, eq=False)
class PackedFrames:
    """Reads frame t of a packed record; opened for each read, so it may be pickled.

    where: (T, 4) which of paths, offset, bytes, CRC-32. to_source: (3, 3) from px of the stored
    pictures to px of those that were packed.
    """

    paths: tuple[Path, ...]
    where: np.ndarray
    to_source: np.ndarray

    def __call__(self, t: int) -> np.ndarray:
        """uint8 RGB (H, W, 3); ValueError if the bytes are not those that were written."""
        if not 0 <= t < len(self.where):
            raise IndexError(f"frame {t} of a record of {len(self.where)}")
        part, offset, size, checksum = self.where[t].tolist()
        with understood(self.paths[part]), self.paths[part].open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if zlib.crc32(data) != checksum:
            raise ValueError(f"{self.paths[part]} is damaged at byte {offset}; pack it again")
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None  # the checksum is that of a JPEG we wrote
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _record(table: Table, paths: list[Path], layout: Layout, i: int, span: slice) -> Record:
    """Record i; its frames are the rows `span` of the tables that have a row a frame."""
    has = dict(zip(_OPTIONAL, table["has"][i].tolist(), strict=True))
    source, subject, view = (str(table[name][i]) for name in ("source", "subject", "view"))
    return Record(
        _frames(paths, table["where"][span], table["matrix"][i]) if has["frame"] else None,
        table["xy"][span],
        layout,
        **{n: table[n][span] if has[n] else None for n in ("xyz", "visible", "box", "scale_px")},
        camera=_unflat(table["camera"][i]) if has["camera"] else None,
        action=None if table["action"][i] == NO_ACTION else int(table["action"][i]),
        source=source,
        subject=subject,
        view=view,
    )


def _frames(paths: list[Path], where: np.ndarray, matrix: np.ndarray) -> PackedFrames:
    """With the files of this record only: it travels to every worker."""
    parts, local = np.unique(where[:, 0], return_inverse=True)
    own = np.concatenate([local.reshape(-1, 1), where[:, 1:]], 1)
    return PackedFrames(tuple(paths[p] for p in parts), own, np.linalg.inv(matrix))


# ------------------------------------------------------------------------------------ writing


def _units(lengths: list[int]) -> list[tuple[int, int]]:
    """Spans [a, b) of records with at most `_UNIT_FRAMES` frames, or one record."""
    spans, first, frames = [], 0, 0
    for i, length in enumerate(lengths):
        if frames and frames + length > _UNIT_FRAMES:
            spans.append((first, i))
            first, frames = i, 0
        frames += length
    return [*spans, (first, len(lengths))]


_Job = tuple[Sequence[Record], Path, tuple[int, int], str, Options]


def _run(jobs: list[_Job], workers: int, tell: Callable[[int], None]) -> None:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            _write_unit(*job, tell)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, cv2.setNumThreads, (1,)) as executor:
        waiting = {executor.submit(_write_unit, *job, _silent): len(job[0]) for job in jobs}
        try:
            for done in as_completed(waiting):
                done.result()
                tell(waiting[done])
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _write_unit(
    records: Sequence[Record],
    folder: Path,
    span: tuple[int, int],
    mark: str,
    options: Options,
    tell: Callable[[int], None],
) -> None:
    rows = []
    with _Shards(folder, span) as shards:
        for record in records:
            where, matrix = _store(record, shards, options)
            rows.append(_row(moved(record, matrix), where, matrix))
            tell(1)
    table = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    table["files"] = np.array([path.name for path in shards.paths], np.str_)
    table["file_bytes"] = np.array(shards.sizes, np.int64)
    found = _faults(folder, table, _silent)
    if found:
        raise OSError(f"what was written does not read back: {found[0]}; is the disk sound?")
    _save(_table_file(folder, span), table, mark=mark)


def _store(record: Record, shards: _Shards, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Write a record's pictures. (T, 4) where they lie, and (3, 3) from its px to stored px."""
    if record.frame is None:
        return np.tile(np.array([-1, 0, 0, 0], np.int64), (len(record), 1)), np.eye(3)
    where, shape, matrix = [], None, np.eye(3)
    rect, target = (0, 0, 0, 0), (0, 0)
    for t in range(len(record)):
        picture = record.frame(t)
        if shape is None:
            shape = picture.shape
            rect, target, matrix = stored_view(record, shape[:2], options)
        if picture.shape != shape:
            raise ValueError(
                f"frame {t} of a record of {record.source or 'unnamed source'} is "
                f"{picture.shape}, its first is {shape}; frames of a record have one size"
            )
        x0, y0, x1, y1 = rect
        view = picture[y0:y1, x0:x1]
        if view.shape[1::-1] != target:
            view = cv2.resize(view, target, interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(view, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, options.quality])
        where.append(shards.add(data.tobytes()))
    return np.array(where, np.int64), matrix


def stored_view(
    record: Record, shape: tuple[int, int], options: Options
) -> tuple[tuple[int, int, int, int], tuple[int, int], np.ndarray]:
    """Which part x0 y0 x1 y1 of pictures of `shape` (height, width) is stored, in which (width,
    height), and the matrix (3, 3) from picture px to stored px."""
    height, width = shape
    rect = (0, 0, width, height)
    boxes = np.empty((0, 4)) if record.box is None else record.box
    boxes = boxes[np.isfinite(boxes).all(-1)]
    if options.margin is not None and len(boxes):
        box = square(union(boxes), margin=options.margin)
        low = np.maximum(np.floor(box[:2]), 0).astype(int)
        high = np.minimum(np.ceil(box[2:]), [width, height]).astype(int)
        if (high > low).all():
            rect = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    cut = np.array([rect[2] - rect[0], rect[3] - rect[1]])
    shrink = 1.0 if options.size is None else min(1.0, options.size / cut.max())
    target = np.maximum(np.round(cut * shrink), 1).astype(int)
    matrix = np.diag([*(target / cut), 1.0])
    matrix[:2, 2] = -np.array(rect[:2]) * target / cut
    return rect, (int(target[0]), int(target[1])), matrix


def moved(record: Record, matrix: np.ndarray) -> Record:
    """The record in the px that `matrix` (3, 3), a scale and a shift, leads to."""
    scale, shift = matrix[[0, 1], [0, 1]], matrix[:2, 2]
    box, camera, size = record.box, record.camera, record.scale_px
    if box is not None:
        corners = np.asarray(box, np.float64).reshape(-1, 2, 2)
        box = transform(matrix, corners).reshape(-1, 4).astype(box.dtype)
    if camera is not None:
        camera = replace(camera, f=camera.f * scale, c=camera.c * scale + shift)
    if size is not None:
        size = size * np.sqrt(scale.prod()).astype(size.dtype)
    xy = transform(matrix, record.xy.astype(np.float64)).astype(record.xy.dtype)
    return replace(record, xy=xy, box=box, camera=camera, scale_px=size)


def _row(record: Record, where: np.ndarray, matrix: np.ndarray) -> Table:
    """A record as arrays with one row, or a row a frame; what it lacks is NaN."""
    length, joints = record.xy.shape[:2]
    nan = np.float32(np.nan)
    return {
        "length": np.array([length]),
        "action": np.array([NO_ACTION if record.action is None else record.action]),
        **{k: np.array([getattr(record, k)], np.str_) for k in ("source", "subject", "view")},
        "matrix": matrix[None],
        "camera": _flat(record.camera)[None],
        "has": np.array([[getattr(record, name) is not None for name in _OPTIONAL]]),
        "xy": record.xy,
        "xyz": np.full((length, joints, 3), nan) if record.xyz is None else record.xyz,
        "visible": np.zeros((length, joints), bool) if record.visible is None else record.visible,
        "box": np.full((length, 4), nan) if record.box is None else record.box,
        "scale_px": np.full(length, nan) if record.scale_px is None else record.scale_px,
        "where": where,
    }


class _Shards:
    """Files of at most `_SHARD_BYTES` that JPEGs are put into one after the other.

    Their names stand once the block has ended well; after an exception nothing is left.
    """

    def __init__(self, folder: Path, span: tuple[int, int]) -> None:
        self._stem = str(_table_file(folder, span).with_suffix(""))
        self.paths: list[Path] = []
        self.sizes: list[int] = []
        self._file: BinaryIO | None = None
        self._outputs: list[Unfinished] = []
        self._stored: dict[bytes, tuple[int, int, int, int]] = {}

    def add(self, data: bytes) -> tuple[int, int, int, int]:
        """File, offset, bytes and checksum; what was added before is not written again."""
        key = hashlib.blake2b(data, digest_size=16).digest()
        if key not in self._stored:
            if self._file is None or self.sizes[-1] + len(data) > _SHARD_BYTES:
                self._next()
            assert self._file is not None
            self._file.write(data)
            place = (len(self.paths) - 1, self.sizes[-1], len(data), zlib.crc32(data))
            self._stored[key] = place
            self.sizes[-1] += len(data)
        return self._stored[key]

    def _next(self) -> None:
        self._finish()
        self.paths.append(Path(f"{self._stem}_{len(self.paths)}.bin"))
        self.sizes.append(0)
        self._outputs.append(Unfinished(self.paths[-1]))
        self._file = self._outputs[-1].part.open("wb")

    def _finish(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._finish()
            for output in self._outputs if kind is None else ():
                output.finish()
        finally:
            for output in self._outputs:
                output.drop()


def _table_file(folder: Path, span: tuple[int, int]) -> Path:
    return folder / f"shard_{span[0]:07d}_{span[1]:07d}.npz"


def _save(path: Path, table: Table, **words: str) -> None:
    with whole_file(path) as part, part.open("wb") as file:
        arrays: dict[str, Any] = {**table, **{k: np.array(v) for k, v in words.items()}}
        np.savez_compressed(file, format=np.array(_FORMAT), **arrays)


def _merge(tables: list[Table]) -> Table:
    before = np.cumsum([0] + [len(table["files"]) for table in tables])
    for first, table in zip(before, tables, strict=False):
        table["where"][:, 0] += np.where(table["where"][:, 0] < 0, 0, first)
    names = (*_PER_RECORD, *_PER_FRAME, "files", "file_bytes")
    return {name: np.concatenate([table[name] for table in tables]) for name in names}


# ----------------------------------------------------------------------------------- checking


def _mark(records: Sequence[Record], options: Options) -> str:
    """Tells a unit from one of other labels or options (not of other pictures)."""
    total = hashlib.sha256(f"{_FORMAT} {options}".encode())
    for record in records:
        row = _row(record, np.empty(0), np.eye(3))
        for name in (*_PER_RECORD, *_PER_FRAME):
            total.update(str(row[name].shape).encode() + np.ascontiguousarray(row[name]).tobytes())
    return total.hexdigest()


def _joined(marks: list[str]) -> str:
    return hashlib.sha256(" ".join(marks).encode()).hexdigest()


def _is_whole(folder: Path, span: tuple[int, int], mark: str) -> bool:
    """Whether an earlier run wrote this unit, of the same records, and its bytes still stand."""
    try:
        table = read_npz(_table_file(folder, span))
    except (FileNotFoundError, ValueError):
        return False
    return str(table.get("mark")) == mark and not _faults(folder, table, _silent)


def _read_index(folder: Path) -> Table:
    if not (folder / INDEX).is_file():
        there = sorted(path.parent.name for path in folder.parent.glob(f"*/{INDEX}"))
        hint = f"there are the splits {', '.join(there)}" if there else "pack the records first"
        raise FileNotFoundError(f"no packed set in {folder}: no {INDEX}; {hint}")
    table = read_npz(folder / INDEX)
    needed = {*_PER_RECORD, *_PER_FRAME, "files", "file_bytes", "layout", "mark", "format"}
    if needed - table.keys() or int(table["format"]) != _FORMAT:
        raise ValueError(f"{folder / INDEX} is not of this version's form; pack the records again")
    frames, records = int(table["length"].sum()), len(table["length"])
    sizes = [len(table[name]) == frames for name in _PER_FRAME]
    sizes += [len(table[name]) == records for name in _PER_RECORD]
    if not all(sizes) or any(Path(str(name)).name != name for name in table["files"]):
        raise ValueError(f"{folder / INDEX} contradicts itself; pack the records again")
    return table


def _faults(folder: Path, table: Table, tell: Callable[[int], None]) -> list[str]:
    """A line for each shard that is missing or of another length, and for each damaged frame."""
    faults = []
    for part, (name, size) in enumerate(zip(table["files"], table["file_bytes"], strict=True)):
        path = folder / str(name)
        if not path.is_file() or path.stat().st_size != size:
            faults.append(f"{path} is missing or not {size} bytes long")
            continue
        frames = np.unique(table["where"][table["where"][:, 0] == part], axis=0)
        with path.open("rb") as file:
            for _, offset, length, checksum in frames.tolist():
                file.seek(offset)
                if zlib.crc32(file.read(length)) != checksum:
                    faults.append(f"{path} is damaged between bytes {offset} and {offset + length}")
        tell(1)
    return faults


def _flat(camera: Camera | None) -> np.ndarray:
    """(21,) R t f c k p; NaN for no camera."""
    if camera is None:
        return np.full(21, np.nan)
    return np.concatenate([np.ravel(getattr(camera, name)) for name, _ in _CAMERA])


def _unflat(numbers: np.ndarray) -> Camera:
    cuts = np.cumsum([int(np.prod(shape)) for _, shape in _CAMERA])[:-1]
    parts = np.split(numbers.astype(np.float64), cuts)
    return Camera(**{name: p.reshape(s) for (name, s), p in zip(_CAMERA, parts, strict=True)})


def _silent(_: int) -> None:
    """Nobody asked how far it is."""
