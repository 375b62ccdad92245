"""The card of a weights file, and its tensors as arrays: all that can be known without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from poseact.core.layouts import layout_named
from poseact.core.typed import typed

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Card:
    """What a weights file says about itself.

    labels: action names, one tuple per action set. size: (h, w) of the crop in px; 0, 0 for a
    lifter. frames, fps: the clips the actions were trained on; step: of how many frames of a video
    they take one on test, 0 unknown. margin: side of the crop over the side of the person's box;
    margins: of kinds of data that were trained with another one. believed: a pose with a lower
    mean score is nobody's. sure: from here on somebody is seen well; below half way between the
    two the detector is asked sooner.
    """

    config: dict[str, Any]
    layout: str
    labels: tuple[tuple[str, ...], ...]
    size: tuple[int, int]
    frames: int = 8
    fps: float = 8.0
    margin: float = 1.25
    margins: dict[str, float] = field(default_factory=dict)
    step: int = 0
    architecture: str = "spnet"
    believed: float = 0.6
    sure: float = 0.95
    provenance: dict[str, str] = field(default_factory=dict)


def available() -> dict[str, Path]:
    """Shipped weights: name -> file."""
    return {p.stem: p for p in sorted(SHIPPED.glob("*.safetensors"))}


def find(name_or_path: str | Path) -> Path:
    """The file behind a shipped name or a path; FileNotFoundError lists what there is."""
    shipped = available()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise FileNotFoundError(
        f"no weights {str(name_or_path)!r}: neither a file nor one of the shipped models "
        f"({', '.join(shipped) or 'none'})"
    )


def read_card(name_or_path: str | Path) -> Card:
    """Only the card of a weights file."""
    path = find(name_or_path)
    return parse_card(read_header(path), path)


def read_header(path: Path) -> str:
    """The card as it stands in a weights file; ValueError if it is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get("poseact")
    except (SafetensorError, OSError) as error:
        raise broken(path, error) from error
    if header is None:
        raise no_card(path)
    return header


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a weights file, float32; ValueError if it is not whole."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise broken(path, error) from error
    return {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in arrays.items()}


def broken(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is not a whole safetensors file ({error}); copy or download it again"
    )


def no_card(path: Path) -> ValueError:
    return ValueError(f"{path} is a safetensors file without a poseact card")


def parse_card(header: str, path: Path) -> Card:
    """The card in a file's header; ValueError names the file."""
    try:
        card = json.loads(header)
        config = card["config"].items()
        card["config"] = {k: tuple(v) if isinstance(v, list) else v for k, v in config}
        layout_named(card["layout"])
        return typed(Card, card)
    except (TypeError, LookupError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: its poseact card cannot be read ({error})") from error
