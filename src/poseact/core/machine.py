"""What this machine gives us."""

from __future__ import annotations

import math
import os
from ctypes.util import find_library
from pathlib import Path

MOST_THREADS = 8
"""One crop is too small to divide among more."""


def usable_cores() -> int:
    """Cores that this process may use: those it is tied to, within the share of its container."""
    tied = getattr(os, "sched_getaffinity", None)
    cores = len(tied(0)) if tied else os.cpu_count() or 1
    share = _container_share()
    return max(min(cores, cores if share is None else math.ceil(share)), 1)


def default_threads() -> int:
    """Threads for a network of crops; `OMP_NUM_THREADS` is a wish of the user's."""
    wish = os.environ.get("OMP_NUM_THREADS", "")
    return int(wish) if wish.isdecimal() and int(wish) else min(usable_cores(), MOST_THREADS)


def has_gpu_driver() -> bool:
    """Whether there is a driver of a GPU that PyTorch could use, without asking PyTorch."""
    devices = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")  # dxg: WSL, kfd: AMD
    if os.name == "nt":
        return find_library("nvcuda") is not None
    return any(Path(device).exists() for device in devices)


def _container_share(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores' worth of time that a control group (of version 1 or 2) allows; None: no limit."""
    try:
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            names = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
            quota, period = ((root / name).read_text().strip() for name in names)
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no control groups here
        return None
