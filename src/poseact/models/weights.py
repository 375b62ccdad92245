"""Weights files: one safetensors file that holds the numbers and, in its header, all that is needed
to use them: architecture, configuration, joint layout, action names, input size, provenance.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from poseact.core.files import whole_file
from poseact.core.layouts import layout_named
from poseact.core.reading import understood
from poseact.core.typed import typed
from poseact.models.lifter import Lifter, LifterConfig
from poseact.models.multipose import MultiPose, MultiPoseConfig
from poseact.models.multitask import Multitask, MultitaskConfig
from poseact.models.spnet import SPNet, SPNetConfig

Network = SPNet | Multitask
NetworkConfig = SPNetConfig | MultitaskConfig
_Config = TypeVar("_Config", SPNetConfig, MultitaskConfig, LifterConfig, MultiPoseConfig)
_Net = TypeVar("_Net", bound=nn.Module)

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


def read_card(path: str | Path) -> Card:
    """Only the card of a weights file."""
    return read_file(find(path))[0]


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
        if tuple(exit) not in model.exits:
            raise ValueError(f"no exit {tuple(exit)} in {name_or_path}; it has {list(model.exits)}")
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
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from error
    if header is None:
        raise ValueError(f"{path} is a safetensors file without a poseact card")
    return parse_card(header, path), tensors


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
