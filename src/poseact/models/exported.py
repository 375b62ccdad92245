"""Networks that `poseact export` has written (ONNX), run by ONNX Runtime or OpenVINO.

NAME.onnx is a network of single frames, NAME.actions.onnx its action heads; both carry the card of
the weights that they were made of. They give the numbers of the last block to 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from poseact.core.reading import understood
from poseact.models.frames import FrameOutput
from poseact.models.weights import Card, parse_card

Runtime = Literal["onnx", "openvino"]
SUFFIX = ".onnx"
CARD = "poseact"
"""Under this name the card stands in a file's metadata."""

Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""A graph: arrays of its inputs, in order -> arrays of its outputs."""
_INSTALL = "pip install 'poseact[{extra}]'"


class Graph(NamedTuple):
    """An open file, and the header that holds its card."""

    run: Run
    header: str | None


class Exported(NamedTuple):
    """An exported network and the card of its weights."""

    model: ExportedNetwork
    card: Card


class ExportedNetwork:
    """A network of frames and, unless it has none, its action heads."""

    def __init__(self, frames: Run, heads: Run | None) -> None:
        self._frames, self._heads = frames, heads

    @property
    def acts(self) -> bool:
        """Whether there are action heads."""
        return self._heads is not None

    def frames(self, x: Tensor) -> FrameOutput:
        """Poses, scores and features of crops (N, 3, H, W): those of the last block alone."""
        pose, score, *features = (torch.from_numpy(y) for y in self._frames([_array(x)]))
        return FrameOutput([pose], [score], [], tuple(features), [])

    def actions(self, features: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """Logits (B, A) of each action set, of features (B, T, J, ...); the last block's alone."""
        if self._heads is None:
            return []
        found = self._heads([_array(feature) for feature in features])
        return [tuple(torch.from_numpy(logits) for logits in found)]


def heads_path(path: Path) -> Path:
    """Where the action heads of an exported network lie."""
    return path.with_suffix(f".actions{SUFFIX}")


def is_exported(weights: str | Path) -> bool:
    return Path(weights).suffix == SUFFIX


def load_exported(
    path: str | Path, *, runtime: Runtime = "onnx", threads: int | None = None
) -> Exported:
    """A network ready for prediction on the CPU.

    threads: None takes torch's number. FileNotFoundError if the file or its action heads are
    missing; ValueError if it is no network of this package; ImportError, with the mend, without the
    runtime.
    """
    path, threads = Path(path), threads or torch.get_num_threads()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; write it with: poseact export WEIGHTS -o {path}")
    if path.name.endswith(f".actions{SUFFIX}"):
        raise ValueError(
            f"{path} holds action heads alone; give the file beside it, without .actions"
        )
    opened = {"onnx": open_onnx, "openvino": open_openvino}[runtime]
    frames, header = opened(path, threads)
    if header is None:
        raise ValueError(f"{path}: not a network that poseact export has written (it has no card)")
    card = parse_card(header, path)
    if not card.labels:
        return Exported(ExportedNetwork(frames, None), card)
    if not (heads := heads_path(path)).is_file():
        raise FileNotFoundError(f"no {heads}, the action heads of {path}: keep both side by side")
    return Exported(ExportedNetwork(frames, opened(heads, threads).run), card)


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.float().cpu().numpy())


def open_onnx(path: Path, threads: int) -> Graph:
    """A file for ONNX Runtime on so many threads."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"{path} needs ONNX Runtime: {_INSTALL.format(extra='onnx')}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with understood(path):
        session = _session(onnxruntime, path, options)
        header = session.get_modelmeta().custom_metadata_map.get(CARD)
    names = [node.name for node in session.get_inputs()]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return session.run(None, dict(zip(names, inputs, strict=True)))

    return Graph(run, header)


def _session(onnxruntime: Any, path: Path, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes, which have no common base but Exception
        raise ValueError(f"ONNX Runtime cannot read it ({str(error).splitlines()[0]})") from error


def open_openvino(path: Path, threads: int) -> Graph:
    """A file for OpenVINO on so many threads."""
    try:
        import onnx
        import openvino  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"{path} needs OpenVINO: {_INSTALL.format(extra='openvino')}") from error
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    with understood(path):
        read = onnx.load_model_from_string(path.read_bytes())
        header = {entry.key: entry.value for entry in read.metadata_props}.get(CARD)
        compiled = openvino.Core().compile_model(path, "CPU", settings)
    names = [node.any_name for node in compiled.outputs]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = compiled(list(inputs))
        return [np.array(found[name]) for name in names]

    return Graph(run, header)
