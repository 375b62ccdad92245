"""All recipes by name: of the shipped model here, of the papers in `published`; and their price.

Each is a function that returns a `Config`. Change one with `dataclasses.replace`, or on the command
line with `--section.key value`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from poseact.data.sets.clips import LABELS
from poseact.models.spnet import SPNetConfig
from poseact.models.weights import NetworkConfig, network
from poseact.people.motions import ACTIONS
from poseact.people.scene import PeopleConfig
from poseact.train.loop import Config, Mix, Stage
from poseact.train.recipes.tables import EXPERIMENTS

SHARED = "$POSEACT_SHARED/data"
"""Where the data of the shipped models lies; expanded when a run opens it."""


def spnet_light(*, clips: int = 5000) -> Config:
    """A small network with a stem of its own: rendered people (2D, 3D, actions), photos (2D).

    First poses: a batch is 20 photos of LSP-extended, 16 rendered frames of actions and 4 of other
    poses (unstructured ones and motion capture). Two rounds of that from a high learning rate, one
    with the crops of a tracked person, and one with windows on scenes beside them, in which a
    person is small, cut or not there at all. Then the action heads, on clips, with the pose part
    frozen, as in the papers' stages: trained together from the start, the gradient of heads that
    read poses which are not there yet drowns the pose's. `$POSEACT_SHARED/data` holds photos
    (lspet), motion capture, CC0 background views and a CC0 body mesh for half of the people.
    """
    people = PeopleConfig(
        frames=8,
        fps=8.0,
        height=144,
        width=144,
        margin=1.4,
        bodies=f"{SHARED}/bodies/makehuman.npz",
        backgrounds=f"{SHARED}/backgrounds",
    )
    others = replace(people, random_pose=0.6, mocap=f"{SHARED}/mocap", mocap_share=1.0)
    moving = Mix("clips", "people", 8, frames=8, people=people, clips=clips)
    pose = Stage(
        "pose",
        7500,
        (
            Mix("photos", "lspet", 20, root=f"{SHARED}/lspet"),
            replace(moving, name="people", count=16, frames=1),
            replace(moving, name="others", count=4, frames=1, people=others, clips=clips // 5),
        ),
        lr=3e-3,
        weight_decay=1e-4,
        heatmap_weight=0.2,
        heatmap_until=0.8,
    )
    longer = replace(pose, name="longer", steps=11500)
    mild = tuple(replace(part, augment="mild") for part in pose.mix)
    tracked = replace(pose, name="tracked", steps=3500, mix=mild, lr=1e-3, heatmap_weight=0.0)
    photos, near, posing = mild
    scenery = replace(people, frames=2, height=224, width=224, margin=3.0)
    windows = replace(
        tracked,
        name="windows",
        steps=4000,
        mix=(
            replace(photos, count=14),
            replace(near, count=9),
            replace(posing, count=3),
            Mix("windows", "people", 7, augment="windows", people=scenery, clips=clips),
            replace(photos, name="photo_windows", count=3, augment="windows"),
            Mix("nobody", "nobody", 4, augment="parts", root=f"{SHARED}/backgrounds/hdri_cc0_256"),
        ),
        confidence_weight=0.05,
    )
    actions = Stage(
        "actions",
        2000,
        (replace(moving, clips=12000),),
        trains="actions",
        cached=64,
        lr=3e-3,
        weight_decay=0.05,
    )
    return Config(
        name="spnet_light",
        model=SPNetConfig(
            joints=17,
            dim=3,
            actions=(len(ACTIONS),),
            pyramids=2,
            action_pyramids=(1, 2),
            levels=3,
            growth=48,
            image_div=8,
            pose_features=64,
            visual_features=64,
            entry="light",
            cell_centres=True,
        ),
        layout="PA17",
        labels=(ACTIONS,),
        stages=(pose, longer, tracked, windows, actions),
        provenance={
            "data": "rendered people (train split; CC0 bodies and backgrounds; motion capture of "
            "CMU, HDM05 and MIT); photos of LSP-extended (train split); CC0 views without people"
        },
    )


def spnet_s() -> Config:
    """The poses of the small shipped network: MoveNet Lightning's features and heads, refined."""
    return _refined("spnet_s", 160, steps=2200)


def spnet_s_longer() -> Config:
    """Its poses on larger crops and more rendered people; the stem stays as it is.

    It begins with what `experiments.blend_stem` makes of `spnet_s`.
    """
    config = _refined("spnet_s_longer", 192, steps=5000)
    stage = config.stages[0]
    counts = {"sport": 8, "street": 6, "people": 9, "others": 5, "windows": 2, "nobody": 2}
    clips = {"people": 6144, "others": 3072, "windows": 768}
    mix = tuple(
        replace(part, count=counts[part.name], clips=clips.get(part.name, part.clips))
        for part in stage.mix
    )
    return replace(
        config,
        model=replace(config.model, alpha=2.0),
        stages=(replace(stage, mix=mix, lr=1e-3, entry_lr=0.0, entry_frozen=0),),
        stem=None,
        init="runs/out/spnet_s_pose.safetensors",
    )


def spnet_s_actions() -> Config:
    """Its action heads, on features of the frozen pose part."""
    return _acting(spnet_s_longer())


def spnet_l() -> Config:
    """The poses of the large shipped network, on MoveNet Thunder's features and heads.

    The stem learns slowly, and only its last units, its pyramid and its heads: at a tenth of the
    blocks' rate `spnet_s` lost what it had known (docs/explanation/log.md).
    """
    config = _refined("spnet_l", 256, steps=1000)
    stage = config.stages[0]
    counts = {"sport": 5, "street": 5, "people": 3, "others": 1, "windows": 1, "nobody": 1}
    stage = replace(
        stage,
        mix=tuple(replace(part, count=counts[part.name]) for part in stage.mix),
        lr=1e-3,
        entry_lr=0.03,
        entry_frozen=9,
    )
    return replace(
        config,
        model=replace(config.model, entry_width=1.75, growth=48, alpha=2.0),
        stages=(stage,),
        stem=f"{SHARED}/pretrained/movenet_thunder.npz",
        provenance={
            **config.provenance,
            "stem": "MoveNet SinglePose Thunder v4, features and heads (Google, Apache-2.0)",
        },
    )


def _refined(name: str, side: int, *, steps: int) -> Config:
    """SPNet on MoveNet's features: its heads give the first heat maps, the blocks correct them.

    Photos with pseudo-labels (LSP-extended, people of streets and gyms), rendered people with exact
    2D and 3D, scenes in which a person is small, cut or not there, all in every batch. The units of
    the stem above stride 16 stay as they are, the others learn ten times slower than the rest. A
    confidence is the probability that the joint is predicted right.
    """
    people = PeopleConfig(
        frames=2,
        fps=1.0,
        height=208,
        width=208,
        margin=1.4,
        bodies=f"{SHARED}/bodies/makehuman.npz",
        backgrounds=f"{SHARED}/backgrounds",
    )
    others = replace(people, random_pose=0.6, mocap=f"{SHARED}/mocap", mocap_share=1.0)
    scenery = replace(people, height=224, width=224, margin=3.0)
    sport = Mix("sport", "pseudo", 10, augment="acrobats", root=SHARED, options={"pack": "lspet"})
    street = replace(sport, name="street", count=9, augment="strong", options={"pack": "people"})
    pose = Stage(
        "pose",
        steps,
        (
            sport,
            street,
            Mix("people", "people", 6, augment="strong", people=people, clips=2048),
            Mix("others", "people", 3, augment="strong", people=others, clips=1024),
            Mix("windows", "people", 2, augment="windows", people=scenery, clips=768),
            Mix("nobody", "nobody", 2, augment="parts", root=f"{SHARED}/backgrounds/hdri_cc0_256"),
        ),
        lr=1.5e-3,
        weight_decay=1e-4,
        heatmap_weight=0.1,
        heatmap_until=0.9,
        confidence_weight=0.05,
        confidence_target="right",
        warmup=200,
        entry_lr=0.1,
        entry_frozen=5,
    )
    return Config(
        name=name,
        model=SPNetConfig(
            joints=17,
            dim=3,
            pyramids=2,
            levels=3,
            growth=32,
            image_div=8,
            entry="mobilenet_fpn",
            entry_heads=True,
            confidence="learnt",
            cell_centres=True,
        ),
        layout="PA17",
        labels=(),
        stages=(pose,),
        size=(side, side),
        stem=f"{SHARED}/pretrained/movenet_lightning.npz",
        provenance={
            "stem": "MoveNet SinglePose Lightning v4, features and heads (Google, Apache-2.0)",
            "data": "photos of LSP-extended and of people in streets and gyms, labelled by MoveNet "
            "Thunder and BlazePose, LSP-extended by a crowd too; rendered people (train split; CC0 "
            "bodies and backgrounds; motion capture of CMU, HDM05 and MIT); CC0 views without "
            "people",
        },
    )


def _acting(pose: Config) -> Config:
    """Action heads for a network of poses: rendered clips, rendered poses of no action, real clips.

    A real clip comes four times, each time cropped and coloured otherwise. `runs/clip_boxes.csv`
    says where the people in them are (`experiments.clip_boxes`).
    """
    people = PeopleConfig(
        frames=8,
        fps=8.0,
        height=160,
        width=160,
        margin=1.4,
        bodies=f"{SHARED}/bodies/makehuman.npz",
        backgrounds=f"{SHARED}/backgrounds",
    )
    acting = Mix("acting", "people", 8, frames=8, augment="mild", people=people, clips=2048)
    posing = replace(people, random_pose=1.0)
    none = LABELS.index("none")
    other = replace(acting, name="other", count=2, people=posing, clips=384, action=none)
    boxes: dict[str, str | int | bool] = {"boxes": "runs/clip_boxes.csv"}
    real = Mix("real", "clips", 2, frames=8, root=f"{SHARED}/clips", options=boxes)
    stage = Stage(
        "actions",
        2500,
        (acting, other, *(replace(real, name=f"real{k}") for k in range(4))),
        trains="actions",
        cached=64,
        lr=2e-3,
        weight_decay=0.05,
    )
    model = replace(
        pose.model,
        alpha=2.0,
        actions=(len(LABELS),),
        action_pyramids=(1, 2),
        pose_features=64,
        visual_features=64,
    )
    return replace(
        pose,
        name="spnet_s_actions",
        model=model,
        labels=(LABELS,),
        stages=(stage,),
        stem=None,
        init="runs/out/spnet_s_longer.safetensors",
        provenance={
            **pose.provenance,
            "actions": "rendered clips of 21 actions; real clips of Weizmann, GMDCSA24, a course "
            "and JHMDB (training parts)",
        },
    )


RECIPES: dict[str, Callable[[], Config]] = {
    "spnet_s": spnet_s,
    "spnet_s_longer": spnet_s_longer,
    "spnet_s_actions": spnet_s_actions,
    "spnet_l": spnet_l,
    "spnet_light": spnet_light,
    **{name: experiment.config for name, experiment in EXPERIMENTS.items()},
}


def recipe(name: str) -> Config:
    """The recipe of that name; ValueError lists what there is."""
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()


# ------------------------------------------------------------------------------- what it takes


@dataclass(frozen=True)
class Cost:
    """What a recipe computes, counted and not measured.

    frame, clip: multiply-adds of a frame's pose and of a clip's action heads. frames: how many the
    training sees. total: multiply-adds of the training, where a backward pass counts twice a
    forward one and frozen parts have none.
    """

    parameters: int
    frame: int
    clip: int
    frames: int
    total: int


def cost(config: Config) -> Cost:
    """The price of a recipe's training."""
    parameters, frame, clip = _counted(config.model, config.size, config.frames)
    frames = total = 0
    for stage in config.stages:
        pose = frame * (3 if stage.trains == "all" else 1)
        for mix in stage.mix:
            seen = mix.clips if stage.cached else stage.steps * mix.count // stage.alternating
            heads = stage.steps * stage.cached if stage.cached else seen
            frames += seen * mix.frames
            total += seen * mix.frames * pose + (3 * heads * clip if mix.frames > 1 else 0)
    return Cost(parameters, frame, clip, frames, total)


@lru_cache(maxsize=64)
def _counted(model: NetworkConfig, size: tuple[int, int], frames: int) -> tuple[int, int, int]:
    """Parameters, multiply-adds of a frame and of a clip's heads."""
    with torch.device("meta"):
        built = network(model).eval()
    parameters = sum(p.numel() for p in built.parameters())
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        features = built.frames(torch.zeros(1, 3, *size, device="meta")).features
        frame = counter.get_total_flops()
        if features:
            built.actions(
                tuple(feature.expand(frames, *feature.shape[1:])[None] for feature in features)
            )
    clip = counter.get_total_flops() - frame
    return parameters, frame // 2, clip // 2


def describe(name: str) -> str:
    """A recipe in a few lines: network, training, price, data, the cells it is for.

    ValueError if there is none of that name.
    """
    config, experiment = recipe(name), EXPERIMENTS.get(name)
    needs = cost(config)
    mixes = [m for stage in config.stages for m in (*stage.mix, *stage.validation)]
    data = sorted({f"{m.kind} ({m.root})" if m.root else m.kind for m in mixes})
    batches = ", ".join(
        f"{stage.name} {stage.steps:,} x {_batches(stage)}" for stage in config.stages
    )
    lines = [
        name,
        f"  network   {needs.parameters / 1e6:.2f} M parameters, {needs.frame / 1e9:.2f} G "
        f"multiply-adds a frame, {needs.clip / 1e9:.2f} G a clip of {config.frames}",
        f"  training  {batches}",
        f"  cost      {needs.frames / 1e6:.1f} M frames, {needs.total / 1e15:.1f} P multiply-adds",
        f"  data      {', '.join(data)}",
    ]
    if experiment is not None:
        lines += [f"  paper     {experiment.cost}"] if experiment.cost else []
        cells = [f"{c.table}: {c.what}: {c.expected} {c.unit}" for c in experiment.cells]
        lines += [f"  expected  {cell}" for cell in cells]
    return "\n".join(lines)


def _batches(stage: Stage) -> str:
    return " | ".join(_batch(stage, kind) for kind in range(stage.alternating))


def _batch(stage: Stage, kind: int) -> str:
    """Such as "20 photos + 16 people"; clips with their frames."""
    own = [mix for mix in stage.mix if mix.batch == kind]
    clip = {mix.name: f" x {mix.frames} frames" if mix.frames > 1 else "" for mix in own}
    return " + ".join(f"{mix.count} {mix.name}{clip[mix.name]}" for mix in own)
