"""Graphs of the shipped networks, without their weights: what ONNX Runtime needs beside a weights
file of the same configuration. Written anew where a configuration or a network's code changes.
"""

from __future__ import annotations

import dataclasses
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from poseact.core.console import SILENT, Console
from poseact.core.files import write_bytes, write_text
from poseact.export.onnx_file import MOST, OPSET, FrameGraph, HeadGraph, check_installed, quiet
from poseact.models.cards import SHIPPED, Card, available, read_card
from poseact.models.exported import GRAPHS, SUFFIX, heads_path
from poseact.models.multipose import MultiPose, MultiPoseConfig
from poseact.models.multitask import MultitaskConfig
from poseact.models.people_maps import STRIDE
from poseact.models.spnet import SPNetConfig
from poseact.models.weights import load, load_multipose

DEFAULTS = {
    "spnet": lambda: SPNetConfig(),
    "multitask": lambda: MultitaskConfig(),
    "multipose": lambda: MultiPoseConfig(),
}
"""Architectures that have graphs -> the defaults of their configuration."""


def write_graphs(folder: Path = SHIPPED, *, console: Console = SILENT) -> list[Path]:
    """The graphs of every shipped network that sees pictures, and `graphs.json`, which says whose
    they are. ImportError, with the mend, without the extra."""
    check_installed()
    written, listed = [], {}
    for name, path in available().items():
        card = read_card(path)
        if card.architecture not in DEFAULTS:
            continue
        graph = folder / f"{name}{SUFFIX}"
        console.say(f"writing {graph}")
        if card.architecture == "multipose":
            of = _detector(graph, path)
        else:
            of = _network(graph, path, card)
        listed[name] = {
            "architecture": card.architecture,
            "size": card.size,
            "defaults": dataclasses.asdict(DEFAULTS[card.architecture]()),
            **of,
        }
        written += [p for p in (graph, heads_path(graph)) if p.is_file()]
    write_text(folder / GRAPHS, json.dumps(listed, indent=1) + "\n")
    return written


def _network(graph: Path, path: Path, card: Card) -> dict[str, Any]:
    model = deepcopy(load(path).model)
    model.answer_only = True
    crops = torch.zeros(2, 3, *card.size)
    with torch.inference_mode():
        features = model.frames(crops).features
    names = [f"features{k}" for k in range(len(features))]
    several = torch.export.Dim("several", min=1, max=MOST)
    frames = FrameGraph(model)
    seen = _write(graph, frames, (crops,), ["crops"], ["pose", "score", *names], ({0: several},))
    told = []
    if features:
        window = tuple(torch.stack([f] * card.frames, 1) for f in features)  # 2 T J ...
        sets = [f"actions{k}" for k in range(len(model.config.actions))]
        shapes = (tuple({0: several} for _ in window),)
        told = _write(heads_path(graph), HeadGraph(model), window, names, sets, shapes)
    return {"config": dataclasses.asdict(model.config), "frames": seen, "heads": told}


def _detector(graph: Path, path: Path) -> dict[str, Any]:
    """Of frames of any size: nothing in this graph depends on it, so the names of the sides are
    put where the example's numbers were (an export of free sides takes minutes and runs slower)."""
    model: MultiPose = load_multipose(path).model
    example = (torch.zeros(1, 3, 6 * STRIDE, 10 * STRIDE),)
    names = ["centre", "box_size", "box_offset", "regress", "heatmap"]
    seen = _write(graph, model, example, ["frame"], names, None, free_sides=True)
    return {"config": dataclasses.asdict(model.config), "frames": seen, "heads": []}


def _write(
    path: Path,
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    shapes: Any,
    *,
    free_sides: bool = False,
) -> list[str]:
    """Write a graph without its weights; gives their names."""
    from onnx import TensorProto, helper
    from onnxscript import optimizer

    with quiet():
        program: Any = torch.onnx.export(
            module.eval(),
            example,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
            optimize=False,
        )
        proto = program.model_proto
        graph = proto.graph
        known = {f"model.{n}": n for n in module.state_dict()} | {
            n: n.removeprefix("model.") for n in module.state_dict()
        }
        del graph.value_info[:]
        # As inputs the weights are not folded into anything that would depend on them.
        kept, weights = [], []
        for tensor in graph.initializer:
            (weights if tensor.name in known and len(tensor.dims) else kept).append(tensor)
        for tensor in weights:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
        del graph.initializer[:]
        graph.initializer.extend(kept)
        model = optimizer.optimize(proto)
    graph = model.graph
    del model.metadata_props[:], graph.value_info[:]
    given = {tensor.name: tensor for tensor in weights}
    real = [value for value in graph.input if value.name not in given]
    used = [given[value.name] for value in graph.input if value.name in given]
    del graph.input[:]
    graph.input.extend(real)
    names = {tensor.name: known[tensor.name] for tensor in used}
    for tensor in used:
        empty = TensorProto(name=names[tensor.name], data_type=tensor.data_type, dims=tensor.dims)
        empty.data_location = TensorProto.EXTERNAL
        empty.external_data.add(key="location", value="weights")
        graph.initializer.append(empty)
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
        node.input[:] = [names.get(name, name) for name in node.input]
    if free_sides:
        for value in (*graph.input, *graph.output):
            for side, axis in zip("hw", (2, 3)):
                value.type.tensor_type.shape.dim[axis].dim_param = f"{side}_{value.name}"
    write_bytes(path, model.SerializeToString(deterministic=True))
    return sorted(names.values())
