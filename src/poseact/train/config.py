"""What a training run is, as data: sources, stages, the whole run; and its JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field, replace
from typing import Literal

from poseact import __version__
from poseact.core.typed import typed
from poseact.data import augment
from poseact.models import weights
from poseact.models.spnet import SPNetConfig
from poseact.models.weights import NetworkConfig
from poseact.people.scene import PeopleConfig

AUGMENTS = {
    "none": augment.NONE,
    "mild": augment.MILD,
    "paper": augment.PAPER,
    "strong": augment.STRONG,
    "acrobats": replace(augment.STRONG, upside_down=0.35),
    # the crops of a search for people: around a person, and anywhere in a picture
    "windows": augment.Augment(angle_deg=10, scale=(0.7, 2.5), shift=0.8),
    "parts": augment.Augment(angle_deg=10, scale=(0.25, 0.9), shift=0.4),
    # CVPR 2018, appendix B: 45 degrees, 0.7 to 1.3, 40 px of a 256 px crop, mirrored
    "cvpr": augment.Augment(angle_deg=45, shift=40 / 256, gamma=0.0),
    # TPAMI 2020, 4.2.3: 40 degrees, 0.7 to 1.3, mirrored, colours shifted
    "tpami": augment.Augment(shift=0.0),
    # deephar/config.py: human36m, pennaction, ntu, ntu_pe (their shifts are px of the source)
    "released_h36m": augment.Augment(angle_deg=10, scale=(0.8, 1.2)),
    "released_penn": augment.Augment(angle_deg=30),
    "released_ntu": augment.Augment(angle_deg=0),
    "released_ntu_pose": augment.Augment(angle_deg=10, scale=(0.7, 2.0)),
}


Metric = Literal[
    "loss", "pckh_0.5", "pck_torso_0.2", "mpjpe_mm", "p_mpjpe_mm", "pck3d_150", "action_top1"
]
"""What held-out data is checked by: the loss, or a score of `evaluate`."""


@dataclass(frozen=True)
class Mix:
    """One source of a stage: `count` samples of `frames` frames in every batch.

    kind: see `poseact.data.KINDS`. root: folder, environment variables are expanded. people, clips:
    which rendered clips, and how many. step: distance of a clip's frames in the record; steps:
    several, of which every clip draws one. split, options: for the data set's reader, a layout
    by its name. margin: crop over box, None for the run's. batch: parts of one number are mixed
    in a batch; batches 0, 1, ... of a stage alternate. action_set: which of the network's action
    sets the classes belong to; action: the class of clips that have none. teaches: which labels
    count.
    """

    name: str
    kind: str
    count: int
    frames: int = 1
    step: int = 1
    augment: Literal[
        "none",
        "mild",
        "paper",
        "strong",
        "acrobats",
        "windows",
        "parts",
        "cvpr",
        "tpami",
        "released_h36m",
        "released_penn",
        "released_ntu",
        "released_ntu_pose",
    ] = "paper"
    root: str | None = None
    people: PeopleConfig | None = None
    clips: int = 1000
    steps: tuple[int, ...] = ()
    split: str = "train"
    options: dict[str, str | int | bool] = field(default_factory=dict)
    margin: float | None = None
    batch: int = 0
    action_set: int = 0
    action: int | None = None
    teaches: Literal["both", "pose", "action"] = "both"


@dataclass(frozen=True)
class Stage:
    """A number of steps with one mix, one optimiser and one set of loss weights.

    trains: "actions" freezes all but the action heads, batch normalisation included;
    "actions_keras" does it as Keras 2.1.4 did: frozen layers are still normalised by the batch, and
    only their moving averages stand still. schedule: "cosine" to zero, "steps" times `factor` at
    each milestone (shares of the stage), "plateau" times `factor`, `drops` times at most (None:
    without end), when `patience` checks in a row, `check_every` steps apart, found nothing better
    (in `validation`; without it, in the training losses since the last check), "constant", or
    "sweep" from a ten-millionth up to `lr`, the same factor every step, to look for a rate.
    validation: held-out data, never a test split, that the moving average of the weights is checked
    on every `check_every` steps: its `metric` on `validation_batches` batches of every part (the
    loss) or on as many records as they have samples, spread over the part (all others, see
    `evaluate`). The best weights are kept as best.safetensors. early_stop: the stage ends, with the
    best weights, after so many checks in a row without a better one; 0 is never.
    accumulate: the batch is gone through in so many micro-batches, which takes less memory; only
    batch normalisation sees the difference.
    heatmap_weight: of a cross entropy on the heat maps that helps short schedules; it falls to zero
    by the share `heatmap_until` of the stage, so that the published loss decides in the end.
    cached: 0, or with trains="actions" and parts of clips: what the frozen pose part says of
    each clip (augmented once) is computed once, and the heads learn on batches of so many, of each
    part in proportion to its count.
    over_blocks: how the losses of the prediction blocks become one; "sum" is Keras', "last"
    supervises the last block alone (TPAMI Table 4). pose_loss: "text" is the papers' elastic net,
    a mean over joints (`losses.joint_elastic_net`), "elastic_net" its mean over coordinates, a half
    or a third of that, "released" `losses.deephar_pose_loss`. copy_replica: the stage starts with
    action poses that are copies of the pose maps (TPAMI 3.3.4); coupled: up to this share of the
    stage they are the pose maps themselves, and part from them then. follow: the rate begins at so
    many times the one at which the stage before ended, 0: at `lr`. ablate: the features that the
    heads do not get (TPAMI Table 5): the kernels that read it are zero and stay so. poses: whose
    the heads read, the network's or the data's (CVPR Table 3 "annotated poses", Table 5 "Kinect
    poses").
    confidence_target: what a confidence is the probability of: that the joint lies in the crop
    (the papers'), or that it is predicted within `losses.REACH`, too.
    entry_lr: factor on the rate of a pretrained stem and its heads, 0 keeps them; entry_frozen: of
    a MobileNet stem, so many units and all before them stay as they are.
    """

    name: str
    steps: int
    mix: tuple[Mix, ...]
    trains: Literal["all", "actions", "actions_keras"] = "all"
    optimizer: Literal["adamw", "rmsprop", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Literal["cosine", "steps", "plateau", "constant", "sweep"] = "cosine"
    milestones: tuple[float, ...] = ()
    warmup: int = 100
    pose_weight: float = 1.0
    confidence_weight: float = 0.01
    action_weight: float = 0.1
    heatmap_weight: float = 0.0
    heatmap_until: float = 1.0
    cached: int = 0
    factor: float = 0.1
    patience: int = 3
    check_every: int = 1000
    drops: int | None = 2
    validation: tuple[Mix, ...] = ()
    validation_batches: int = 50
    over_blocks: Literal["mean", "sum", "last"] = "mean"
    pose_loss: Literal["elastic_net", "text", "released"] = "elastic_net"
    copy_replica: bool = False
    coupled: float = 0.0
    follow: float = 0.0
    ablate: Literal["nothing", "pose", "appearance"] = "nothing"
    poses: Literal["estimated", "annotated"] = "estimated"
    metric: Metric = "loss"
    early_stop: int = 0
    accumulate: int = 1
    confidence_target: Literal["inside", "right"] = "inside"
    entry_lr: float = 1.0
    entry_frozen: int = 0

    def __post_init__(self) -> None:
        if self.cached and (self.trains != "actions" or min(m.frames for m in self.mix) < 2):
            raise ValueError(f"stage {self.name}: cached needs trains='actions' and parts of clips")
        if {mix.batch for mix in self.mix} != set(range(self.alternating)):
            raise ValueError(
                f"stage {self.name}: alternating batches are 0, 1, ... without a gap, "
                f"got {[mix.batch for mix in self.mix]}"
            )
        if any(mix.split == "test" for mix in self.validation):
            raise ValueError(
                f"stage {self.name}: validation on a test split would choose the weights by it; "
                "take split='val', or subjects held out of 'train'"
            )
        if not self.validation and (self.metric != "loss" or self.early_stop):
            raise ValueError(f"stage {self.name}: metric and early_stop need validation")
        counts = (self.check_every, self.patience, self.validation_batches, self.accumulate)
        if min(counts) < 1 or self.early_stop < 0:
            raise ValueError(
                f"stage {self.name}: check_every, patience, validation_batches and accumulate "
                "are at least 1, early_stop at least 0"
            )

    @property
    def alternating(self) -> int:
        """How many kinds of batches alternate."""
        return 1 + max((mix.batch for mix in self.mix), default=-1)


@dataclass(frozen=True)
class Config:
    """A whole run. fps and frames go onto the card of the weights.

    margin: crop over box of all parts that say nothing else; for the card see `card`. step: of how
    many frames of a video a clip of the test takes one, for the card, too.
    init: weights to start from; they may lack action heads and decoupled action poses. stem: a file
    of pretrained features (`models.stems.load_stem`), without init. devices:
    processes that train together on each of `nodes` machines (data-parallel); a batch is the same
    whatever their number, each takes its share. sync_batchnorm: batch normalisation sees the shares
    of all processes (GPUs only). deterministic: only algorithms that give the same numbers every
    time, slower on GPUs. augment_on: who rotates, crops and colours pictures, the loader's workers
    or the device that trains (geometry, gamma, brightness, contrast, saturation and mirroring).
    strategy: with "fsdp" each of several processes keeps only its part of the weights, of their
    moving average and of the optimiser's state; "auto" is all of it in every process.
    """

    name: str
    model: NetworkConfig
    layout: str
    labels: tuple[tuple[str, ...], ...]
    stages: tuple[Stage, ...]
    size: tuple[int, int] = (128, 128)
    frames: int = 8
    fps: float = 8.0
    margin: float = 1.25
    init: str | None = None
    seed: int = 0
    ema: float = 0.999
    clip_gradient: float = 1.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    workers: int = 1
    log_every: int = 20
    checkpoint_s: float = 120.0
    provenance: dict[str, str] = field(default_factory=dict)
    nodes: int = 1
    sync_batchnorm: bool = False
    deterministic: bool = False
    augment_on: Literal["worker", "device"] = "worker"
    strategy: Literal["auto", "fsdp"] = "auto"
    stem: str | None = None
    step: int = 0

    def __post_init__(self) -> None:
        sets, spnet = len(self.model.actions), isinstance(self.model, SPNetConfig)
        for stage in self.stages:
            for mix in stage.mix:
                if mix.action_set and not 0 <= mix.action_set < sets:
                    raise ValueError(
                        f"part {mix.name}: no action set {mix.action_set}, the network has {sets}"
                    )
            if (stage.copy_replica or stage.coupled) and not getattr(self.model, "replica", False):
                raise ValueError(
                    f"stage {stage.name}: copy_replica or coupled needs a network with replica"
                )
            if stage.ablate != "nothing" and not spnet:
                raise ValueError(f"stage {stage.name}: ablate is for SPNet")

        if self.stages and self.stages[0].follow:
            raise ValueError(f"stage {self.stages[0].name}: follow needs a stage before")
        if self.devices < 1 or self.nodes < 1:
            raise ValueError(f"devices and nodes are at least 1, got {self.devices}, {self.nodes}")
        if self.strategy == "fsdp" and self.precision == "16-mixed":
            raise ValueError("strategy fsdp trains with precision 32-true or bf16-mixed")

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def same_run(self, other: Config) -> bool:
        """Whether they are one run, perhaps on other machines: `MACHINES` may differ."""
        return dataclasses.replace(self, **{n: getattr(other, n) for n in MACHINES}) == other

    def card(self) -> weights.Card:
        """What the weights say of themselves.

        Their margin is that of the clips that teach actions, if there are any and they have one;
        other kinds of data that were trained with another margin stand beside it.
        """
        model = dataclasses.asdict(self.model)
        parts = [mix for stage in self.stages for mix in stage.mix]
        every = {mix.kind: self.margin if mix.margin is None else mix.margin for mix in parts}
        clips = {every[m.kind] for m in parts if m.frames > 1 and m.teaches != "pose"}
        margin = clips.pop() if len(clips) == 1 else self.margin
        return weights.Card(
            config=model,
            architecture="spnet" if isinstance(self.model, SPNetConfig) else "multitask",
            layout=self.layout,
            labels=self.labels,
            size=self.size,
            frames=self.frames,
            fps=self.fps,
            margin=margin,
            margins={kind: value for kind, value in every.items() if value != margin},
            step=self.step,
            provenance={"recipe": self.name, "poseact": __version__, **self.provenance},
        )


MACHINES = ("accelerator", "devices", "nodes", "strategy", "workers", "log_every", "checkpoint_s")
"""Settings of `Config` that say how a run is computed, not what: they may change on resuming."""


FORMER_NAMES = {"Mix": {"turn": "batch"}, "Stage": {"blind_to": "ablate"}}
"""Fields by their names in configurations that version 0.1.0 wrote."""


def to_json(config: Config) -> str:
    return json.dumps(dataclasses.asdict(config), indent=1)


def from_json(text: str) -> Config:
    """The inverse of `to_json`; ValueError names a field that is not known."""
    value = json.loads(text)
    stages = value.get("stages") if isinstance(value, dict) else None
    for stage in stages if isinstance(stages, list) else []:
        if isinstance(stage, dict) and stage.get("pose_loss") == "deephar":  # until version 0.2.0
            stage["pose_loss"] = "released"
    return typed(Config, value, former=FORMER_NAMES)
