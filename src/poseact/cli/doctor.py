"""`poseact doctor` and `poseact models`: what is installed here, and which weights there are."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch

import poseact
from poseact.models.weights import SHIPPED, Card, available, read_card

NEEDED = (
    "torch",
    "numpy",
    "opencv-python-headless",
    "av",
    "scipy",
    "safetensors",
    "tyro",
    "rich",
    "numba",
    "lightning-fabric",
    "jaxtyping",
)
EXTRAS = {
    "keras": "h5py",
    "coco": "pycocotools",
    "detect": "rtmlib",
    "tensorboard": "tensorboard",
    "dev": "pytest",
}
"""Extra of the package -> the module that shows it is there."""


def diagnose() -> list[tuple[str, str]]:
    """(what, state) rows about this installation; a package that is missing says so."""
    rows = [
        ("poseact", poseact.__version__),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
    ]
    rows += [(name, _version(name)) for name in NEEDED]
    rows += [("device", _device()), ("threads", str(torch.get_num_threads()))]
    rows += [
        (
            f"extra {extra}",
            "there" if find_spec(module) else f"no (pip install poseact[{extra}])",
        )
        for extra, module in EXTRAS.items()
    ]
    names = ", ".join(available()) or "none"
    return [*rows, ("weights", f"{names} ({SHIPPED})")]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "MISSING"


def _device() -> str:
    if not torch.cuda.is_available():
        return "cpu"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"cuda ({', '.join(names)})"


def describe_models() -> list[str]:
    """A paragraph for each shipped model: size, what it reads and gives, actions, file."""
    texts = []
    for name, path in available().items():
        card = read_card(path)
        lines = [
            f"{name}  {path.stat().st_size / 2**20:.1f} MiB, {card.architecture}, {_reads(card)}",
            *(f"  {len(names)} actions: {', '.join(names)}" for names in card.labels),
            *([f"  clips of {card.frames} frames at {card.fps:g} a second"] if card.labels else []),
            f"  {path}",
        ]
        texts.append("\n".join(lines))
    return texts


def _reads(card: Card) -> str:
    height, width = card.size
    if card.architecture == "lifter":
        return (
            f"2D joints to 3D, layout {card.layout}, scaled to the {card.config['normalisation']}"
        )
    if card.architecture == "enas":
        dims, persons = 2 if card.config["flat"] else 3, card.config["persons"]
        who = "one person" if persons == 1 else f"{persons} persons"
        return f"{dims}D skeletons of {who} as pictures of {width} px, layout {card.layout}"
    return f"{width}x{height} px, {card.config.get('dim', 2)}D, layout {card.layout}"
