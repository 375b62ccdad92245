"""Skeleton files of NTU RGB+D: the main person of each, and many of them, in parallel and once."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from poseact.core.files import whole_file
from poseact.core.layouts import NTU25
from poseact.core.reading import understood
from poseact.data.archives import default_cache, read_npy

MAX_BYTES = 32 << 20  # a .skeleton file of a few hundred frames has 1 to 3 MB
_JOINTS = len(NTU25)
_JOINT_FIELDS, _BODY_FIELDS = 12, 10
_SHORT_TRACK = 11  # frames; chairs and tables are taken for a body for a moment
_WIDE = 0.8  # of a chair or table: its joints spread in x more than this much of y
_NOT_TRACKED = 0
MANY = 512
"""Files from which on all are read in parallel, and their bodies kept."""
_UNIT = 256  # files of one array


def bodies(files: Mapping[str, Path], *, workers: int | None = None) -> dict[str, np.ndarray]:
    """`main_body` by the names of the files.

    Of many files the answers are float32 arrays in the cache, read from there next time, as long as
    no file of their unit has another size or time. workers: reading processes, None: all cores if
    there are many files. ValueError names a damaged file.
    """
    names = sorted(files)
    if len(names) < MANY:
        return dict(zip(names, _read_all([files[name] for name in names], workers or 1)))
    folder = default_cache() / "ntu"
    units = [names[i : i + _UNIT] for i in range(0, len(names), _UNIT)]
    marks = [_fingerprint([files[name] for name in unit]) for unit in units]
    missing = [
        ([files[name] for name in unit], folder / mark)
        for unit, mark in zip(units, marks, strict=True)
        if not _file(folder / mark, "bodies").is_file()
    ]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        _in_processes(_write_unit, missing, workers or os.cpu_count() or 1)
    found: dict[str, np.ndarray] = {}
    for unit, mark in zip(units, marks, strict=True):
        path = _file(folder / mark, "bodies")
        with understood(path):
            ends = np.cumsum(read_npy(_file(folder / mark, "lengths")))
            table = np.load(path, mmap_mode="r", allow_pickle=False)
            if len(ends) != len(unit) or len(table) != ends[-1]:
                raise ValueError(f"{path} is not whole; delete it")
        found |= zip(unit, np.split(table, ends[:-1]))
    return found


def _read_all(paths: Sequence[Path], workers: int) -> list[np.ndarray]:
    if workers == 1:
        return [_understood_body(path) for path in paths]
    return _in_processes(_understood_body, [(path,) for path in paths], workers)


def _in_processes(
    function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int
) -> list[Any]:
    """function(*job) of all jobs, in order; by forked processes where there are such, so that a
    script needs no `if __name__ == "__main__"`.
    """
    way = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    with warnings.catch_warnings():
        # These processes parse text and hold no lock of another thread.
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        with ProcessPoolExecutor(workers, multiprocessing.get_context(way)) as executor:
            return list(executor.map(function, *zip(*jobs), chunksize=1))


def _write_unit(paths: Sequence[Path], stem: Path) -> None:
    """The bodies of some files, one after another, and their lengths."""
    read = [_understood_body(path).astype(np.float32) for path in paths]
    lengths = np.array([len(body) for body in read])
    for what, array in (("lengths", lengths), ("bodies", np.concatenate(read))):
        with whole_file(_file(stem, what)) as part, part.open("wb") as file:
            np.save(file, array)


def _file(stem: Path, what: str) -> Path:
    return stem.with_name(f"{stem.name}.{what}.npy")


def _fingerprint(paths: Sequence[Path]) -> str:
    """Of the names, sizes and times of files."""
    stats = [(path.name, (s := path.stat()).st_size, s.st_mtime_ns) for path in paths]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:24]


def _understood_body(path: Path) -> np.ndarray:
    with understood(path):
        return main_body(path)


def main_body(path: str | Path) -> np.ndarray:
    """The main person of a .skeleton file: (T, 25, 6) x y z (m), colour x y (px), tracking state.

    As the authors' FAQ has it: of the bodies the one that moves most (variance of x, y and z over
    all joints and frames, summed), after those that are wider than high as chairs and tables are,
    and those seen for a moment only. The Kinect may lose a person and find him again as another
    body: frames in which the main body is not seen take the next one that is nowhere seen together
    with it. NaN where there is nobody, and where a joint is not tracked.
    """
    frames, tracks = _tracks(Path(path))
    ranked = sorted(((_worth(blocks), rows, blocks) for rows, blocks in tracks), key=itemgetter(0))
    main = np.full((frames, _JOINTS, 6), np.nan)
    taken = np.zeros(frames, bool)
    for (plausible, _), rows, blocks in reversed(ranked):
        if taken[rows].any() or (taken.any() and not plausible):
            continue
        main[rows], taken[rows] = blocks, True
    main[~np.isfinite(main).all(-1) | (main[..., 5] == _NOT_TRACKED)] = np.nan
    return main


def _worth(blocks: np.ndarray) -> tuple[bool, float]:
    """Looks like a person; how much it moves. blocks: (F, J, 6)."""
    points = blocks[..., :3][np.isfinite(blocks[..., :3]).all(-1)]
    if not len(points):
        return False, 0.0
    spread = np.ptp(np.nan_to_num(blocks[..., :2]), axis=1)  # F 2
    upright = bool(np.median(spread[:, 0] - _WIDE * spread[:, 1]) <= 0)
    return upright and len(blocks) > _SHORT_TRACK, float(points.var(0).sum())


def _tracks(path: Path) -> tuple[int, list[tuple[list[int], np.ndarray]]]:
    """Frames in the file; for each body its frames and its joints (F, 25, 6), as in `main_body`."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: {size} bytes are too many for a .skeleton file")
    text = path.read_bytes()
    tokens = text.split()
    number = _windows_number if b"#" in text else float
    tracks: dict[int, tuple[list[int], list[np.ndarray]]] = {}
    try:
        values = np.fromiter(map(number, tokens), np.float64, len(tokens))
        frames, at = int(tokens[0]), 1
        for t in range(frames):
            bodies, at = int(tokens[at]), at + 1
            for _ in range(bodies):
                if int(tokens[at + _BODY_FIELDS]) != _JOINTS:
                    raise ValueError(f"a body has {_JOINTS} joints, not {tokens[at + 10]!r}")
                first = at + _BODY_FIELDS + 1
                block = values[first : first + _JOINTS * _JOINT_FIELDS].reshape(_JOINTS, -1)
                rows, blocks = tracks.setdefault(int(tokens[at]), ([], []))
                rows.append(t)
                blocks.append(block[:, [0, 1, 2, 5, 6, 11]])
                at = first + block.size
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: not a whole .skeleton file ({error}); copy it again") from error
    if at != len(tokens):
        raise ValueError(f"{path}: goes on after its {frames} frames; is it a .skeleton file?")
    return frames, [(rows, np.stack(blocks)) for rows, blocks in tracks.values()]


def _windows_number(token: bytes) -> float:
    """An unknown one is written as -1.#IND."""
    return np.nan if b"#" in token else float(token)
