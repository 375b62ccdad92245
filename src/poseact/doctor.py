"""`poseact doctor` and `poseact models`: what is installed here, and which weights there are."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch

import poseact
from poseact.weights import SHIPPED, available, read_card

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
EXTRAS = {"keras": "h5py", "logs": "tensorboard", "dev": "pytest"}
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
    """A paragraph for each shipped model: size, input, layout, actions, exits, file."""
    texts = []
    for name, path in available().items():
        card = read_card(path)
        height, width = card.size
        lines = [
            f"{name}  {path.stat().st_size / 2**20:.1f} MiB, {card.architecture}, "
            f"{width}x{height} px, {card.config.get('dim', 2)}D, layout {card.layout}",
            *(f"  {len(names)} actions: {', '.join(names)}" for names in card.labels),
            f"  clips of {card.frames} frames at {card.fps:g} a second",
            f"  {path}",
        ]
        texts.append("\n".join(lines))
    return texts
