"""The weights file of a classifier: beside the network, how a sequence becomes what it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from poseact.core.layouts import Layout
from poseact.core.reading import understood
from poseact.core.typed import typed
from poseact.models import weights
from poseact.models.enas import ENASConfig, ENASNet, genotype_from_arc
from poseact.models.layers import channels_last
from poseact.skeletons.spmf import Bounds, SPMFConfig, spmf


class LoadedClassifier(NamedTuple):
    """A classifier of skeleton sequences in eval mode, the pictures it reads, and its card.

    persons: how many a picture shows. flat: it reads 2D poses, x and y of any unit with z = 0,
    and not 3D ones. A window of `card.frames` frames, `card.fps` a second, is as long as the usual
    sequence it was trained on.
    """

    model: ENASNet
    pictures: SPMFConfig
    persons: int
    flat: bool
    card: weights.Card


def save_classifier(
    path: str | Path,
    model: ENASNet,
    pictures: SPMFConfig,
    *,
    layout: Layout,
    labels: Sequence[str],
    frames: int,
    fps: float,
    persons: int = 1,
    flat: bool = False,
    provenance: dict[str, str] | None = None,
    half: bool = False,
) -> Path:
    """Write a classifier of skeleton sequences for `load_classifier`, as `weights.save` does.

    pictures: how a sequence becomes the picture that the network reads. layout: the joints of the
    sequences it was trained on. labels: names of its classes. frames: length of the usual sequence
    (a median), fps of them a second. persons, flat: see `LoadedClassifier`. ValueError if the
    labels are not as many as the classes.
    """
    if len(labels) != model.config.classes:
        raise ValueError(f"{model.config.classes} classes have {len(labels)} labels")
    config = dataclasses.asdict(model.config) | {
        "arc": model.genotype.arc(),
        "pictures": dataclasses.asdict(pictures),
        "persons": persons,
        "flat": flat,
    }
    seen = np.zeros((2, persons, len(layout), 3))
    height, width = spmf(seen, layout, config=pictures).shape[:2] if pictures.size else (0, 0)
    card = weights.Card(
        config,
        layout.name,
        (tuple(labels),),
        (height, width),
        frames,
        fps,
        architecture="enas",
        provenance=provenance or {},
    )
    return weights.save(path, model, card, half=half)


def load_classifier(name_or_path: str | Path) -> LoadedClassifier:
    """A classifier of skeleton sequences on the CPU, from a shipped name or a file; errors as in
    `weights.load`."""
    path = weights.find(name_or_path)
    with understood(path):
        return _classifier(path, *weights.read_file(path))


def _classifier(
    path: Path, card: weights.Card, tensors: dict[str, torch.Tensor]
) -> LoadedClassifier:
    if card.architecture != "enas":
        raise ValueError(f"{path} is {card.architecture}, which is no classifier of skeletons")
    settings = dict(card.config)
    try:
        persons, flat = int(settings.pop("persons")), bool(settings.pop("flat"))
        genotype = genotype_from_arc(settings.pop("arc"))
        options = settings.pop("pictures")
        bounds = options["bounds"] and typed(Bounds, options["bounds"])
        bones = tuple(options["bones"]) if options.get("bones") else None
        pictures = SPMFConfig(**(options | {"bounds": bounds, "bones": bones}))
        config = typed(ENASConfig, settings)
        model = weights.filled(lambda: ENASNet(genotype, config), tensors, path)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its classifier cannot be built ({error})") from error
    return LoadedClassifier(channels_last(model).eval(), pictures, persons, flat, card)
