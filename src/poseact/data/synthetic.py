"""Rendered people as records: each clip is rendered once into a pool on disk, then read from there.

A pool is a folder named by the hash of its configuration: `config.json`, and per shard of clips
`clips_FIRST_LAST.frames.npy` (N, T, H, W, 3) uint8 and `.labels.npz`. The labels are renamed into
place last, so a shard that has them is whole, and rendering goes on where it was stopped. Delete
the folder to render anew (a newer renderer does not notice an older one's pool).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from poseact.core.console import SILENT, Console
from poseact.core.files import whole_file, write_text
from poseact.core.geometry import box_around
from poseact.core.layouts import Layout, layout_named
from poseact.core.reading import understood
from poseact.core.types import Camera, Record
from poseact.data.archives import default_cache, read_npz
from poseact.people.scene import PeopleConfig, RenderedClip, render_clip

SHARD = 64
_FORMAT = 1  # raise it when the files of a pool change
_LABELS = ("xy", "xyz", "visible", "intrinsics", "action")


def load(
    config: PeopleConfig,
    count: int,
    *,
    cache: Path | None = None,
    workers: int = 1,
    start: int = 0,
    shard: int = SHARD,
    console: Console = SILENT,
) -> list[Record]:
    """Clips start, ..., start + count - 1 of the configuration as records, rendered if need be.

    cache: the folder of pools; None is `default_cache()`. workers: rendering processes (with more
    than one, a script needs its `if __name__ == "__main__"`). shard: clips per file. xyz is mm in
    camera axes; scale_px is the 3D length of neck to head times focal length over the depth of the
    head, a head size that does not foreshorten when the head tips towards the camera. Clips of
    unstructured poses have no action. Raises ValueError if the pool's folder belongs to another
    configuration.
    """
    if count < 1 or start < 0 or workers < 1 or shard < 1:
        raise ValueError(
            f"count, workers and shard are at least 1 and start at least 0, "
            f"got {count}, {workers}, {shard} and {start}"
        )
    pool = open_pool(config, default_cache() if cache is None else Path(cache))
    shards = _shards(start, start + count, shard)
    missing = [span for span in shards if not _files(pool, span)[1].is_file()]
    if missing:
        _render(config, pool, missing, workers, console)
    layout = layout_named(config.layout)
    return [record for span in shards for record in _read(pool, span, layout)]


def open_pool(config: PeopleConfig, cache: Path) -> Path:
    """The configuration's folder in the cache, made if it is not there."""
    text = json.dumps({"format": _FORMAT, "config": asdict(config)}, sort_keys=True, indent=1)
    pool = cache / f"people_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    note = pool / "config.json"
    if not note.is_file():
        write_text(note, text)
    if note.read_text(encoding="utf-8") != text:
        raise ValueError(f"{pool} was rendered with another configuration; delete it or move it")
    return pool


@dataclass(frozen=True)
class Clip:
    """Reads frames of one clip from a shard; opened for each read, so it may be pickled."""

    path: Path
    offset: int  # bytes before the clip's first frame
    shape: tuple[int, int, int, int]  # T H W 3

    def __call__(self, t: int) -> np.ndarray:
        """uint8 RGB (H, W, 3) of frame t."""
        if not 0 <= t < self.shape[0]:
            raise IndexError(f"frame {t} of a clip of {self.shape[0]}")
        size = int(np.prod(self.shape[1:]))
        data = np.fromfile(self.path, np.uint8, size, offset=self.offset + t * size)
        return data.reshape(self.shape[1:])


def _shards(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """Spans [a, b) that cover [first, last) and break at multiples of `size`."""
    breaks = [first, *range((first // size + 1) * size, last, size), last]
    return list(zip(breaks[:-1], breaks[1:], strict=True))


def _files(pool: Path, span: tuple[int, int]) -> tuple[Path, Path]:
    stem = f"clips_{span[0]:07d}_{span[1]:07d}"
    return pool / f"{stem}.frames.npy", pool / f"{stem}.labels.npz"


def _render(
    config: PeopleConfig,
    pool: Path,
    spans: list[tuple[int, int]],
    workers: int,
    console: Console,
) -> None:
    clips = sum(b - a for a, b in spans)
    with console.bar(f"rendering {clips} clips of people", clips, unit="clips") as advance:
        if workers == 1:
            for span in spans:
                _write_shard(config, pool, span, advance)
            return
        with ProcessPoolExecutor(
            min(workers, len(spans)), multiprocessing.get_context("spawn"), _one_thread
        ) as executor:
            waiting = {executor.submit(_write_shard, config, pool, s, _silent): s for s in spans}
            try:
                for done in as_completed(waiting):
                    done.result()
                    advance(waiting[done][1] - waiting[done][0])
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise


def _write_shard(
    config: PeopleConfig, pool: Path, span: tuple[int, int], advance: Callable[[int], None]
) -> None:
    frames_file, labels_file = _files(pool, span)
    with whole_file(frames_file) as part:
        labels = _write_frames(part, _rendered(config, span, advance), span[1] - span[0])
    with whole_file(labels_file) as part, part.open("wb") as file:
        np.savez(
            file,
            xy=labels["xy"],
            xyz=labels["xyz"],
            visible=labels["visible"],
            intrinsics=labels["intrinsics"],
            action=labels["action"],
        )


def _rendered(
    config: PeopleConfig, span: tuple[int, int], advance: Callable[[int], None]
) -> Iterator[RenderedClip]:
    config = _expanded(config)
    for index in range(*span):
        yield render_clip(config, index)
        advance(1)


def _expanded(config: PeopleConfig) -> PeopleConfig:
    """Folders may name environment variables, so that no machine's path is in a pool's name."""
    paths = {name: getattr(config, name) for name in ("mocap", "bodies", "backgrounds")}
    return replace(config, **{k: v and os.path.expandvars(v) for k, v in paths.items()})


def _write_frames(path: Path, clips: Iterable[RenderedClip], count: int) -> dict[str, np.ndarray]:
    """Stream the frames into an .npy and give the labels, each (N, ...)."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in _LABELS}
    store = None
    for i, clip in enumerate(clips):
        if store is None:
            store = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *clip.frames.shape))
        store[i] = clip.frames
        for name in _LABELS:
            rows[name].append(np.asarray(getattr(clip, name)))
    return {name: np.stack(values) for name, values in rows.items()}


def _read(pool: Path, span: tuple[int, int], layout: Layout) -> list[Record]:
    frames_file, labels_file = _files(pool, span)
    if not frames_file.is_file():
        raise FileNotFoundError(f"{frames_file} is gone; delete {labels_file.name} to render again")
    with understood(frames_file):
        store = np.load(frames_file, mmap_mode="r")
        clip_bytes = int(np.prod(store.shape[1:]))
    with understood(labels_file):
        labels = {name: value for name, value in read_npz(labels_file).items() if name in _LABELS}
        if missing := set(_LABELS) - set(labels):
            raise ValueError(f"{labels_file} lacks {', '.join(sorted(missing))}; delete it")
    if len(store) != len(labels["xy"]):
        raise ValueError(f"{frames_file} and its labels differ in length; delete both")
    records = []
    for i in range(len(store)):
        frame = Clip(frames_file, store.offset + i * clip_bytes, store.shape[1:])
        records.append(_record(frame, {name: value[i] for name, value in labels.items()}, layout))
    return records


def _record(frame: Clip, label: dict[str, np.ndarray], layout: Layout) -> Record:
    action = int(label["action"])
    return Record(
        frame,
        label["xy"],
        layout,
        xyz=label["xyz"],
        visible=label["visible"],
        box=box_around(label["xy"]),
        camera=_camera(label["intrinsics"]),
        action=None if action < 0 else action,
        source="people",
        subject="people",
        scale_px=_head_size(label["xyz"], label["intrinsics"], layout),
    )


def _camera(intrinsics: np.ndarray) -> Camera | None:
    """The clip's camera at the origin of its own axes; None where the crop moves in the clip."""
    k = intrinsics[0].astype(np.float64)
    if not np.allclose(intrinsics, k) or not np.isclose(k[0, 1], 0):
        return None
    zero = np.zeros
    return Camera(R=np.eye(3), t=zero(3), f=k[[0, 1], [0, 1]], c=k[:2, 2], k=zero(3), p=zero(2))


def _head_size(xyz: np.ndarray, intrinsics: np.ndarray, layout: Layout) -> np.ndarray | None:
    """(T,) px, or None where the layout lacks the head or the neck."""
    if not {"head", "neck"} <= set(layout.joints):
        return None
    head, neck = xyz[:, layout.index("head")], xyz[:, layout.index("neck")]
    focal = np.sqrt(np.abs(np.linalg.det(intrinsics[:, :2, :2])))  # px
    return np.linalg.norm(head - neck, axis=-1) * focal / head[:, 2]


def _one_thread() -> None:
    """Workers share the cores already; threads inside each would only fight."""
    cv2.setNumThreads(1)


def _silent(clips: int) -> None:
    """The parent counts whole shards."""
