"""The network that a run begins with."""

from __future__ import annotations

import os
import typing
from dataclasses import asdict
from typing import Any

from poseact.core.layouts import layout_named
from poseact.models import weights
from poseact.models.stems import load_stem
from poseact.models.weights import Network, network
from poseact.train.config import Config


def initial_network(config: Config) -> Network:
    """The network in training mode: fresh, or from `config.init`.

    ValueError if those weights are of another network; what concerns actions may differ.
    """
    model = network(config.model)
    if config.init is None:
        if config.stem is not None:
            load_stem(model, os.path.expandvars(config.stem), layout_named(config.layout))
        return model.train()
    given = weights.load(os.path.expandvars(config.init)).model
    mine, theirs = asdict(model.config), asdict(given.config)
    other = {name for name in mine.keys() | theirs if mine.get(name) != theirs.get(name)}
    known, expected = given.state_dict(), model.state_dict()
    odd = [n for n, v in known.items() if n not in expected or v.shape != expected[n].shape]
    if odd or other - OF_ACTIONS:
        raise ValueError(
            f"{config.init} holds another network than the configuration asks for: "
            f"{sorted(other - OF_ACTIONS) or odd[:3]} differ"
        )
    model.load_state_dict({**expected, **known})
    if getattr(config.model, "replica", False) and not getattr(given.config, "replica", False):
        typing.cast(Any, model).copy_replica()
    return model.train()


OF_ACTIONS = {
    *("actions", "action_pyramids", "replica", "pose_features", "visual_features"),
    *("sharpness", "pose_branch", "weighted_merge", "action_blocks", "merge", "appearance"),
}
"""Settings in which a network may differ from the weights it starts from."""
