"""Who runs a network here: ONNX Runtime or OpenVINO on a CPU, PyTorch on a GPU or for the rest.

All give the same numbers to 1e-4. Only PyTorch needs torch, which is imported when it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from poseact.core.machine import has_gpu_driver
from poseact.core.reading import understood
from poseact.models.cards import Card, find, read_arrays, read_card
from poseact.models.exported import (
    Answer,
    ExportedNetwork,
    Graphs,
    Runtime,
    graphs_of,
    is_exported,
    load_exported,
    normalised,
)

if TYPE_CHECKING:
    from poseact.inference.eager import Whole

INSTALL_TORCH = "pip install torch"


class FrameNetwork(Protocol):
    """A network that sees crops first, and then what it said of clips of them.

    frames: crops (N, H, W, 3) uint8 RGB. actions: features with (B, T) in front -> logits (B, A) of
    each action set, () if it knows no actions.
    """

    def frames(self, crops: np.ndarray, /) -> Answer: ...
    def actions(self, features: tuple[np.ndarray, ...], /) -> tuple[np.ndarray, ...]: ...


class Opened(NamedTuple):
    """A network ready for prediction.

    acts: whether it knows actions. runtime: who runs it, and why: in words. whole: gives the
    network in PyTorch; ValueError if there are no weights.
    """

    network: FrameNetwork
    card: Card
    acts: bool
    runtime: Runtime
    why: str
    whole: Callable[[], Whole]


def open_network(
    weights: str | Path,
    *,
    exit: tuple[int, int] | None = None,
    device: str | None = None,
    runtime: Runtime | None = None,
    threads: int | None = None,
) -> Opened:
    """The network of weights or of an exported file, for whoever runs it best here.

    Errors: FileNotFoundError or ValueError for unusable weights, exit, device or runtime;
    ImportError, with the mend, for a runtime that is not installed.
    """
    if is_exported(weights):
        return _exported(weights, exit, device, runtime, threads)
    path = find(weights)
    chosen, why, graphs = _choice(weights, path, exit, device, runtime)

    @cache
    def whole() -> Whole:
        return _torch().load_whole(weights, device=device, exit=exit)

    if graphs is None or chosen == "torch":
        loaded = whole()
        if threads is not None:
            _torch().set_threads(threads)
        network = _torch().Eager(loaded.model)
        acts = bool(loaded.model.config.actions)
        return Opened(network, loaded.card, acts, "torch", why, whole)
    with understood(path):
        card, arrays = read_card(path), read_arrays(path)
        frames = graphs.frames.open(arrays, runtime=chosen, threads=threads)
        if graphs.heads is not None:
            heads = graphs.heads.open(arrays, runtime=chosen, threads=threads)
        elif card.config.get("actions"):  # one's own, on the same features
            eager = _torch().Eager(whole().model)
            heads = lambda features: list(eager.actions(tuple(features)))  # noqa: E731
        else:
            heads = None
    network = ExportedNetwork(frames, heads)
    return Opened(network, card, network.acts, chosen, why, whole)


def _choice(
    weights: str | Path,
    path: Path,
    exit: tuple[int, int] | None,
    device: str | None,
    runtime: Runtime | None,
) -> tuple[Runtime, str, Graphs | None]:
    """Who runs weights, why, and the graphs if it is not PyTorch."""
    torch_there = find_spec("torch") is not None
    if runtime == "torch":
        return "torch", "it was asked for", None
    graphs = None if exit is not None else _graphs(path)
    if runtime is not None:
        if device not in (None, "cpu"):
            raise ValueError(f"runtime {runtime} runs on the CPU, not on {device}")
        if graphs is None:
            raise ValueError(
                f"runtime {runtime} needs an exported file of these weights; write one with: "
                f"poseact export {weights} -o NAME.onnx"
            )
        return runtime, "it was asked for", graphs
    if device not in (None, "cpu"):
        return "torch", f"the device is {device}", None
    if device is None and torch_there and has_gpu_driver() and _torch().has_gpu():
        return "torch", "there is a GPU", None
    if graphs is None:
        return "torch", "there is no graph of this network and exit", None
    if find_spec("onnxruntime") is None:
        return "torch", "ONNX Runtime is not installed (pip install 'poseact[onnx]')", None
    return "onnx", "the fastest here that gives the same numbers", graphs


def _graphs(path: Path) -> Graphs | None:
    try:
        return graphs_of(read_card(path))
    except ValueError:  # PyTorch will say what is wrong with the file
        return None


def _exported(
    weights: str | Path,
    exit: tuple[int, int] | None,
    device: str | None,
    runtime: Runtime | None,
    threads: int | None,
) -> Opened:
    if exit is not None:
        raise ValueError(f"{weights}: the exit of an exported file is chosen by poseact export")
    if device not in (None, "cpu"):
        raise ValueError(f"{weights}: exported files run on the CPU, not on {device}")
    if runtime == "torch":
        raise ValueError(f"{weights} is an exported file, which PyTorch does not run")
    runtime = runtime or "onnx"
    model, card = load_exported(weights, runtime=runtime, threads=threads)

    def whole() -> Whole:
        raise ValueError(f"{weights} is an exported file; this needs its weights")

    return Opened(model, card, model.acts, runtime, "it is an exported file", whole)


# ------------------------------------------------------------------------------------- detector

Maps = Sequence[np.ndarray]


def open_detector(
    weights: str | Path,
    *,
    device: str | None = "cpu",
    runtime: Runtime | None = None,
    threads: int | None = None,
) -> Callable[[np.ndarray], Maps]:
    """The detector of people: a frame (1, H, W, 3) uint8 RGB -> maps (1, C, h, w), see
    `models.people_maps`."""
    path = find(weights)
    chosen, _, graphs = _choice(weights, path, None, device, runtime)
    if graphs is None or chosen == "torch":
        return _torch().EagerDetector(weights, device)
    with understood(path):
        run = graphs.frames.open(read_arrays(path), runtime=chosen, threads=threads)
    return lambda frame: run([normalised(frame)])


def _torch() -> Any:
    """The part that needs torch; ImportError with the mend."""
    try:
        from poseact.inference import eager
    except ImportError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"this needs PyTorch: {INSTALL_TORCH}") from error
    return eager


# ------------------------------------------------------------------------------------- in words


def described(weights: str | Path, *, times: int = 5) -> str:
    """Who runs these weights here, why, how long a crop takes, and how much PyTorch differs."""
    here = open_network(weights)
    crops = np.random.default_rng(0).integers(0, 256, (1, *here.card.size, 3), dtype=np.uint8)
    said = f"{here.runtime} ({here.why}), {weights} {_least_ms(here.network, crops, times):.0f} ms"
    if here.runtime == "torch" or find_spec("torch") is None:
        return said
    eager = open_network(weights, runtime="torch", device="cpu").network
    differs = np.abs(eager.frames(crops).pose - here.network.frames(crops).pose).max()
    return f"{said}, PyTorch {_least_ms(eager, crops, times):.0f} ms; they differ by {differs:.0e}"


def _least_ms(network: FrameNetwork, crops: np.ndarray, times: int) -> float:
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        network.frames(crops)
        spent.append(time.perf_counter() - begin)
    return 1e3 * min(spent)
