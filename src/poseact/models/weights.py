"""Weights files: one safetensors file that holds the numbers and, in its header, all that is needed
to use them: architecture, configuration, joint layout, action names, input size, provenance.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from poseact.core.files import whole_file
from poseact.core.reading import understood
from poseact.core.typed import typed
from poseact.models.cards import Card, broken, find, no_card, parse_card
from poseact.models.cards import available as available
from poseact.models.cards import read_card as read_card
from poseact.models.lifter import Lifter, LifterConfig
from poseact.models.multipose import MultiPose, MultiPoseConfig
from poseact.models.multitask import Multitask, MultitaskConfig
from poseact.models.spnet import SPNet, SPNetConfig

Network = SPNet | Multitask
NetworkConfig = SPNetConfig | MultitaskConfig
_Config = TypeVar("_Config", SPNetConfig, MultitaskConfig, LifterConfig, MultiPoseConfig)
_Net = TypeVar("_Net", bound=nn.Module)


class Loaded(NamedTuple):
    """A network in eval mode and its card."""

    model: Network
    card: Card


class LoadedLifter(NamedTuple):
    """A lifter in eval mode and its card."""

    model: Lifter
    card: Card


class LoadedMultiPose(NamedTuple):
    """A detector of people in eval mode and its card."""

    model: MultiPose
    card: Card


def network(config: NetworkConfig) -> Network:
    """The network of a configuration, with fresh weights."""
    return SPNet(config) if isinstance(config, SPNetConfig) else Multitask(config)


def build(card: Card) -> Network:
    """The network a card describes, with fresh weights."""
    if card.architecture == "spnet":
        return SPNet(_config(card, SPNetConfig))
    if card.architecture == "multitask":
        return Multitask(_config(card, MultitaskConfig))
    if card.architecture == "lifter":
        raise ValueError("a lifter sees joints, not pictures; it is for `poseact lift`")
    if card.architecture == "multipose":
        raise ValueError("a detector of people gives boxes; it is for `--detector`")
    if card.architecture == "enas":
        raise ValueError("a classifier of skeletons is for `poseact predict --classifier`")
    raise ValueError(
        f"unknown architecture {card.architecture!r}; this version knows spnet and multitask"
    )


def _config(card: Card, kind: type[_Config]) -> _Config:
    strange = set(card.config) - {f.name for f in dataclasses.fields(cast(Any, kind))}
    if strange:
        raise ValueError(f"unknown settings {sorted(strange)} for {card.architecture}")
    return typed(kind, card.config)


def save(path: str | Path, model: nn.Module, card: Card, *, half: bool = False) -> Path:
    """Write atomically. `half` stores kernels as float16, batch-norm vectors as they are."""
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu().contiguous()
        tensors[name] = value.half() if half and value.ndim > 1 else value
    with whole_file(path) as part:
        save_file(tensors, part, {"poseact": json.dumps(dataclasses.asdict(card))})
    return path


def load(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    exit: tuple[int, int] | None = None,
) -> Loaded:
    """A network ready for prediction, of a shipped name or a file, cut at `exit` if it is given.

    FileNotFoundError if there is none; ValueError if it is not a whole poseact weights file or its
    tensors are not those of the configuration it names, or if it has no such exit.
    """
    path = find(name_or_path)
    with understood(path):
        card, tensors = read_file(path)
        model = filled(lambda: build(card), tensors, path)
    if exit is not None:
        if not isinstance(exit, (tuple, list)) or tuple(exit) not in model.exits:
            raise ValueError(f"no exit {exit} in {name_or_path}; it has {list(model.exits)}")
        model = model.cut(*exit)
    try:
        return Loaded(model.to(device).eval(), card)
    except (AssertionError, RuntimeError) as error:
        if "out of memory" in str(error):
            raise
        raise ValueError(f"device {device} cannot be used here ({error}); use cpu") from error


def load_lifter(name_or_path: str | Path) -> LoadedLifter:
    """A lifter on the CPU, ready to use, from a shipped name or a file; errors as in `load`."""
    what = "no lifter of joints to 3D"
    card, model = _other(
        name_or_path, "lifter", what, lambda card: Lifter(_config(card, LifterConfig))
    )
    return LoadedLifter(model, card)


def load_multipose(name_or_path: str | Path) -> LoadedMultiPose:
    """A detector of people on the CPU, ready to use, from a shipped name or a file; errors as in
    `load`."""
    what = "no detector of people"
    card, model = _other(
        name_or_path, "multipose", what, lambda card: MultiPose(_config(card, MultiPoseConfig))
    )
    return LoadedMultiPose(model, card)


def _other(
    name_or_path: str | Path, architecture: str, what: str, make: Callable[[Card], _Net]
) -> tuple[Card, _Net]:
    """A network of that architecture in eval mode; of a file of another one, that it is `what`."""
    path = find(name_or_path)
    with understood(path):
        card, tensors = read_file(path)
        if card.architecture != architecture:
            raise ValueError(f"{path} is {card.architecture}, which is {what}")
        model = filled(lambda: make(card), tensors, path)
    return card, model.eval()


def filled(make: Callable[[], _Net], tensors: dict[str, Tensor], path: Path) -> _Net:
    """A network with the tensors of a file, which are compared with it before it is built."""
    with torch.device("meta"):
        check_tensors(make(), tensors, path)
    model = make()
    kinds = {name: value.dtype for name, value in model.state_dict().items()}
    model.load_state_dict({name: value.to(kinds[name]) for name, value in tensors.items()})
    return model


def check_tensors(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """ValueError unless the tensors of a file are exactly those of the network."""
    expected = model.state_dict()
    missing = sorted(set(expected) - set(tensors))
    extra = sorted(set(tensors) - set(expected))
    if missing or extra:
        raise ValueError(
            f"{path}: tensors do not fit the configuration in the file; "
            f"missing {missing[:3]} ({len(missing)}), unknown {extra[:3]} ({len(extra)})"
        )
    for name, value in tensors.items():
        if value.shape != expected[name].shape:
            raise ValueError(
                f"{path}: {name} has shape {tuple(value.shape)}, "
                f"the configuration wants {tuple(expected[name].shape)}"
            )


def read_file(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """Card and tensors; ValueError if it is not a whole poseact weights file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("poseact")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise broken(path, error) from error
    if header is None:
        raise no_card(path)
    return parse_card(header, path), tensors
