"""Networks as ONNX graphs, run by ONNX Runtime or OpenVINO. No torch.

A file that `poseact export` has written holds everything: NAME.onnx is a network of single frames,
NAME.actions.onnx its action heads, both with the card of their weights. Beside the shipped weights
lie graphs without weights, which are those of any weights file of the same configuration. Either
gives the numbers of the last block to 1e-4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from poseact.core.machine import default_threads
from poseact.core.reading import understood
from poseact.models import cards
from poseact.models.cards import Card, parse_card

Runtime = Literal["torch", "onnx", "openvino"]
SUFFIX = ".onnx"
CARD = "poseact"
"""Under this name the card stands in a file's metadata."""
GRAPHS = "graphs.json"
"""Beside the graphs of the shipped weights: whose they are."""

Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""A graph: arrays of its inputs, in order -> arrays of its outputs."""
_INSTALL = "pip install 'poseact[{extra}]'"


class Graph(NamedTuple):
    """An open file, and the header that holds its card."""

    run: Run
    header: str | None


class Answer(NamedTuple):
    """What the last block says of N crops.

    pose: (N, J, D) u v [d]. score: (N, J). features: (N, J, ...) each, for the action heads.
    """

    pose: np.ndarray
    score: np.ndarray
    features: tuple[np.ndarray, ...]


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

    def frames(self, crops: np.ndarray) -> Answer:
        """Poses, scores and features of crops (N, H, W, 3) uint8 RGB."""
        pose, score, *features = self._frames([normalised(crops)])
        return Answer(pose, score, tuple(features))

    def actions(self, features: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Logits (B, A) of each action set, of features (B, T, J, ...)."""
        if self._heads is None:
            return ()
        return tuple(self._heads([np.ascontiguousarray(f, np.float32) for f in features]))


def normalised(crops: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) from -1 to 1 of (N, H, W, 3) uint8."""
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / 127.5 - 1.0


def heads_path(path: Path) -> Path:
    """Where the action heads of an exported network lie."""
    return path.with_suffix(f".actions{SUFFIX}")


def is_exported(weights: str | Path) -> bool:
    return Path(weights).suffix == SUFFIX


def load_exported(
    path: str | Path,
    *,
    runtime: Literal["onnx", "openvino"] = "onnx",
    threads: int | None = None,
) -> Exported:
    """A network ready for prediction on the CPU.

    threads: None takes `default_threads`. FileNotFoundError if the file or its action heads are
    missing; ValueError if it is no network of this package; ImportError, with the mend, without the
    runtime.
    """
    path, threads = Path(path), threads or default_threads()
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


# ----------------------------------------------------------------------- weights and their graph


class BareGraph(NamedTuple):
    """A graph without its weights, and their names."""

    path: Path
    weights: tuple[str, ...]

    def open(
        self,
        arrays: dict[str, np.ndarray],
        *,
        runtime: Literal["onnx", "openvino"],
        threads: int | None = None,
    ) -> Run:
        """With the arrays of a weights file; ImportError, with the mend, without the runtime."""
        missing = sorted(set(self.weights) - set(arrays))
        if missing:
            raise ValueError(f"tensors are missing: {missing[:3]} ({len(missing)})")
        own = {name: arrays[name] for name in self.weights}
        opened = {"onnx": open_onnx, "openvino": open_openvino}[runtime]
        return opened(self.path, threads or default_threads(), own).run


class Graphs(NamedTuple):
    """Shipped graphs of a configuration. heads: None if it has no actions, or others."""

    frames: BareGraph
    heads: BareGraph | None


def graphs_of(card: Card) -> Graphs | None:
    """The shipped graphs that a card's weights fit into; None if there are none."""
    listed = cards.SHIPPED / GRAPHS
    if not listed.is_file():
        return None
    mine = json.loads(json.dumps(card.config))
    for name, of in json.loads(listed.read_text()).items():
        theirs, config = dict(of["config"]), {**of["defaults"], **mine}
        acts, also = config.pop("actions", []), theirs.pop("actions", [])
        place = (card.architecture, list(card.size)), (of["architecture"], of["size"])
        if config == theirs and place[0] == place[1] and bool(acts) == bool(also):
            path = cards.SHIPPED / f"{name}{SUFFIX}"
            heads = BareGraph(heads_path(path), tuple(of["heads"]))
            return Graphs(
                BareGraph(path, tuple(of["frames"])), heads if acts and acts == also else None
            )
    return None


# ----------------------------------------------------------------------------------- runtimes


def open_onnx(path: Path, threads: int, arrays: dict[str, np.ndarray] | None = None) -> Graph:
    """A file for ONNX Runtime on so many threads; arrays: the weights of a graph without them."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"{path} needs ONNX Runtime: {_INSTALL.format(extra='onnx')}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    if arrays is not None:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(a) for a in arrays.values()]
        options.add_external_initializers(list(arrays), values)
    with understood(path):
        source = path if arrays is None else path.read_bytes()  # a path would be asked for weights
        session = _session(onnxruntime, source, options)
        header = session.get_modelmeta().custom_metadata_map.get(CARD)
    names = [node.name for node in session.get_inputs()]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return session.run(None, dict(zip(names, inputs, strict=True)))

    return Graph(run, header)


def _session(onnxruntime: Any, source: Path | bytes, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes, which have no common base but Exception
        raise ValueError(f"ONNX Runtime cannot read it ({str(error).splitlines()[0]})") from error


def open_openvino(path: Path, threads: int, arrays: dict[str, np.ndarray] | None = None) -> Graph:
    """A file for OpenVINO on so many threads; arrays: the weights of a graph without them."""
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
        for tensor in read.graph.initializer:
            if arrays is not None and tensor.external_data:
                tensor.CopyFrom(onnx.numpy_helper.from_array(arrays[tensor.name], tensor.name))
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(read.SerializeToString()), "CPU", settings)
    names = [node.any_name for node in compiled.outputs]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = compiled(list(inputs))
        return [np.array(found[name]) for name in names]

    return Graph(run, header)
