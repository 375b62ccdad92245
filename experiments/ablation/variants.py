"""The trainings behind the tables: one base, and variants that change what their name says.

The papers' ablations took days on MPII, Human3.6M and Penn Action. These take minutes on rendered
people, with a network small enough that three seeds of everything fit into an afternoon: 64 px,
growth 24 and two pyramids of three levels. Every variant of a table sees the same number of frames;
variants of one seed and the same data draw the same batches.

A training has the papers' stages. Poses first, on single frames. From its weights go the trainings
with actions: the heads alone on what the frozen pose part says, then everything together. So
variants that differ in their heads only share one pose training.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from poseact.models.multitask import MultitaskConfig
from poseact.models.spnet import SPNetConfig
from poseact.people.motions import ACTIONS
from poseact.people.scene import PeopleConfig
from poseact.train.config import MACHINES, Config, Mix, Stage

RUNS = "POSEACT_ABLATION"
"""Environment variable with the folder of the runs, so that no machine's path is in a config."""

STEPS = 1400
"""Of the pose stage."""

PEOPLE = PeopleConfig(frames=8, fps=8.0, margin=1.4)
CLIPS, FEW_CLIPS, TEST_CLIPS = 4096, 128, 512
OTHERS = replace(PEOPLE, seed=1)
"""Clips of other people, moves and scenes; as many as CLIPS, and only their 2D labels are used."""

_STILLS = Mix("stills", "people", 16, people=PEOPLE, clips=CLIPS, augment="mild")
_OTHERS = Mix("others", "packed", 8, root=f"${RUNS}/others_2d", augment="mild")
_MOVING = replace(_STILLS, name="clips", count=4, frames=8)

_POSE = Stage(
    "pose", STEPS, (_STILLS,), lr=5e-3, weight_decay=1e-4, heatmap_weight=0.2, heatmap_until=0.8
)
_HEADS = Stage(
    "heads",
    STEPS // 4,
    (replace(_MOVING, count=8),),
    trains="actions",
    cached=64,
    lr=3e-3,
    weight_decay=0.05,
)
_TOGETHER = Stage("together", STEPS // 4, (_STILLS, _MOVING), lr=5e-4, weight_decay=1e-4)

_SPNET = SPNetConfig(
    joints=17,
    dim=3,
    pyramids=2,
    levels=3,
    growth=24,
    image_div=4,
    pose_features=32,
    visual_features=32,
    entry="light",
    cell_centres=True,
)
_CVPR = MultitaskConfig(
    joints=17, dim=3, blocks=4, stem="inception_old", stem_channels=64, cell_centres=True
)
_WIDE = replace(_SPNET, growth=78)
"""As many multiply-adds as `_CVPR`."""


def variants(*, steps: int = STEPS, seed: int = 0) -> dict[str, Config]:
    """All trainings of one seed by name; what starts from another comes after it.

    steps: of the pose stage; the others shrink or grow with it. ValueError for fewer than 10.
    """
    if steps < 10:
        raise ValueError(f"the stages need at least 10 steps, got {steps}")
    pose = _pose_variants(steps, seed)
    acting = {
        "base": _acting(pose["pose"]),
        "one_block": _acting(pose["pose_one_block"]),
        "last_block": _staged(_acting(pose["pose_last_block"]), over_blocks="last"),
        "deep": _acting(pose["pose_deep"]),
        "pose_only": _staged(_acting(pose["pose"]), ablate="appearance"),
        "appearance_only": _staged(_acting(pose["pose"]), ablate="pose"),
        "decoupled": _networked(_acting(pose["pose"]), replica=True),
        "others": _acting(pose["pose_others"]),
        "max_confidence": _acting(pose["pose_max_confidence"]),
        "action_only": _action_only(_acting(pose["pose"]), steps, clips=2),
        "action_only_more": _action_only(_acting(pose["pose"]), steps, clips=8),
    }
    return pose | {name: replace(config, name=name) for name, config in acting.items()}


def _pose_variants(steps: int, seed: int) -> dict[str, Config]:
    base = Config(
        name="pose",
        model=_SPNET,
        layout="PA17",
        labels=(),
        stages=(replace(_POSE, steps=steps),),
        size=(64, 64),
        seed=seed,
        ema=0.99,
        workers=0,
        log_every=50,
        checkpoint_s=30.0,
    )
    half, few = replace(_STILLS, count=8), replace(_STILLS, clips=FEW_CLIPS)
    found = {
        "pose": base,
        "pose_one_block": _networked(base, pyramids=1, exit=(1, 1)),
        "pose_last_block": _staged(base, over_blocks="last"),
        "pose_deep": _networked(base, pyramids=4),
        "pose_others": _staged(base, mix=(half, _OTHERS)),
        "pose_few": _staged(base, mix=(few,)),
        "pose_few_others": _staged(base, mix=(replace(few, count=8), _OTHERS)),
        "pose_max_confidence": _networked(base, confidence="max"),
        "pose_to_the_border": _networked(base, cell_centres=False),
        "pose_no_heatmap_loss": _staged(base, heatmap_weight=0.0),
        # five times as expensive a frame, so half the steps for both
        "pose_cvpr": _staged(replace(base, model=_CVPR), steps=steps // 2),
        "pose_wide": _staged(replace(base, model=_WIDE), steps=steps // 2),
    }
    return {name: replace(config, name=name) for name, config in found.items()}


def _acting(pose: Config) -> Config:
    """The two stages that teach actions to a network whose poses are trained."""
    assert isinstance(pose.model, SPNetConfig)
    pyramids = tuple(range(1, pose.model.pyramids + 1))
    steps, mix = pose.steps, pose.stages[0].mix
    stages = (
        replace(_HEADS, steps=steps // 4),
        replace(_TOGETHER, steps=steps // 4, mix=(*mix, _MOVING)),
    )
    return replace(
        pose,
        model=replace(pose.model, actions=(len(ACTIONS),), action_pyramids=pyramids),
        labels=(ACTIONS,),
        stages=stages,
        init=f"${RUNS}/{folder(pose)}/weights.safetensors",
    )


def _action_only(base: Config, steps: int, *, clips: int) -> Config:
    """The base without any pose label; 2 clips a batch of its first stage are as many frames."""
    moving = replace(_MOVING, teaches="action")
    heads, together = base.stages
    first = replace(_POSE, name="alone", steps=steps, mix=(replace(moving, count=clips),))
    return replace(base, stages=(first, heads, replace(together, mix=(moving,))), init=None)


def _staged(config: Config, **changes: Any) -> Config:
    return replace(config, stages=tuple(replace(stage, **changes) for stage in config.stages))


def _networked(config: Config, **changes: Any) -> Config:
    return replace(config, model=replace(config.model, **changes))


# ------------------------------------------------------------------------------- which run is which


def folder(config: Config) -> str:
    """Name of a run's folder: variant, seed and a hash of what is computed.

    Only settings that are not their defaults count, so an option that training learns later makes
    no other run of an old one; those of the machine do not count either.
    """
    said = {name: value for name, value in _said(config).items() if name not in MACHINES}
    text = json.dumps(said, sort_keys=True)
    return f"{config.name}-{config.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def parent(config: Config) -> str | None:
    """Folder of the run whose weights this one starts from."""
    return config.init and PurePosixPath(config.init).parent.name


def _said(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_said(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    said: dict[str, Any] = {"kind": type(value).__name__}
    for f in dataclasses.fields(value):
        given = getattr(value, f.name)
        if given != (f.default_factory() if callable(f.default_factory) else f.default):
            said[f.name] = _said(given)
    return said
