"""Which pictures and videos a path, a folder or a glob names."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2

from poseact.media.pictures import HEAD, IMAGE_SUFFIXES, animated
from poseact.media.video import VIDEO_SUFFIXES

UNREAD = (".heic", ".heif", ".jxl", ".dng", ".cr2", ".nef", ".arw")
"""Pictures that nothing here decodes."""


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
    files = _named(source)
    inputs = [Input(p, kind) for p in sorted(files) if p.is_file() and (kind := _kind(p))]
    if not inputs:
        raise ValueError(f"{source}: no picture and no video among {len(files)} entries")
    return inputs


def left_out(source: str | Path) -> list[str]:
    """A line for each entry of a folder or glob that was meant, perhaps, and is not read."""
    lines = []
    for path in [] if Path(source).is_file() else sorted(_named(source)):
        if path.is_symlink() and not path.exists():
            lines.append(f"{path}: left out, a link to nothing")
        elif path.suffix.lower() in UNREAD:
            lines.append(f"{path}: left out, {path.suffix} is not read; convert it to JPEG or PNG")
    return lines


def _named(source: str | Path) -> list[Path]:
    """The entries of a folder, or what a glob names; FileNotFoundError if there is nothing."""
    path = Path(source)
    if path.is_dir():
        return [p for p in path.iterdir() if not p.name.startswith(".")]
    files = [Path(p) for p in glob.glob(str(source), recursive=True)]
    if not files:
        raise FileNotFoundError(f"{source}: no such file, folder or glob")
    return files


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
