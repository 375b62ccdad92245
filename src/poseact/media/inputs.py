"""Which pictures and videos a path, a folder or a glob names."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2

from poseact.media.pictures import HEAD, IMAGE_SUFFIXES, animated
from poseact.media.video import VIDEO_SUFFIXES


@dataclass(frozen=True)
class Input:
    """A file to predict on."""

    path: Path
    kind: Literal["image", "video"]


def list_inputs(source: str | Path) -> list[Input]:
    """The pictures and videos that a path, a folder (not its subfolders) or a glob names, sorted.

    A single file of an unknown suffix is a picture if it starts like one, else a video. Raises
    FileNotFoundError if nothing is there, ValueError if a folder or glob holds neither.
    """
    path = Path(source)
    if path.is_file():
        return [Input(path, _kind(path) or _kind_inside(path))]
    if path.is_dir():
        files = [p for p in path.iterdir() if not p.name.startswith(".")]
    else:
        files = [Path(p) for p in glob.glob(str(source), recursive=True)]
        if not files:
            raise FileNotFoundError(f"{source}: no such file, folder or glob")
    inputs = [Input(p, kind) for p in sorted(files) if p.is_file() and (kind := _kind(p))]
    if not inputs:
        raise ValueError(f"{source}: no picture and no video among {len(files)} entries")
    return inputs


def _kind(path: Path) -> Literal["image", "video"] | None:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "video" if suffix == ".png" and _is_animated(path) else "image"
    return "video" if suffix in VIDEO_SUFFIXES else None


def _is_animated(path: Path) -> bool:
    with path.open("rb") as file:
        return animated(file.read(HEAD))


def _kind_inside(path: Path) -> Literal["image", "video"]:
    return "image" if cv2.haveImageReader(str(path)) else "video"
