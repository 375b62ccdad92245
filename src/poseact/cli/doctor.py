"""`poseact doctor`."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

NEEDED = (
    "numpy",
    "opencv-python-headless",
    "av",
    "scipy",
    "safetensors",
    "tyro",
    "rich",
)
WITHOUT = ("torch", "numba", "lightning-fabric", "jaxtyping")
"""Prediction by ONNX Runtime does without them."""
EXTRAS = {
    "keras": "h5py",
    "coco": "pycocotools",
    "detect": "rtmlib",
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "c3d": "ezc3d",
    "table": "pyarrow",
    "tensorboard": "tensorboard",
    "dev": "pytest",
}
"""Extra of the package -> the module that shows it is there."""


@dataclass(frozen=True)
class Doctor:
    """What is installed, on which device it runs, where the weights are."""

    def run(self) -> int:
        rows = diagnose()
        for what, state in rows:
            print(f"{what:24}{state}")
        return 1 if any(state == "MISSING" for _, state in rows) else 0


def diagnose() -> list[tuple[str, str]]:
    """(what, state) rows about this installation; a package that is missing says so."""
    import poseact
    from poseact.core.machine import default_threads, usable_cores
    from poseact.models.cards import SHIPPED, available

    rows = [
        ("poseact", poseact.__version__),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", f"{platform.system()} {platform.machine()}, {_cores(usable_cores())}"),
    ]
    rows += [(name, _version(name) or "MISSING") for name in NEEDED]
    alone = find_spec("onnxruntime") is not None
    for name in WITHOUT:
        lacks = "no (prediction alone works)" if alone else "MISSING"
        rows.append((name, _version(name) or lacks))
    rows += [("device", _device()), ("threads", str(default_threads())), ("runtime", _runtime())]
    rows += [
        (
            f"extra {extra}",
            "there" if find_spec(module) else f"no (pip install 'poseact[{extra}]')",
        )
        for extra, module in EXTRAS.items()
    ]
    names = ", ".join(available()) or "none"
    return [*rows, ("weights", f"{names} ({SHIPPED})")]


def _version(package: str) -> str:
    """Empty if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cores(usable: int) -> str:
    there = os.cpu_count() or usable
    return f"{usable} cores" if usable == there else f"{usable} of {there} cores for us"


def _runtime() -> str:
    from poseact.core.console import EXPECTED
    from poseact.inference.backends import described

    try:
        return described("spnet-s")
    except EXPECTED as error:
        return f"none ({error})"


def _device() -> str:
    try:
        import torch
    except ImportError:
        return "cpu"
    if not torch.cuda.is_available():
        return "cpu"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"cuda ({', '.join(names)})"
