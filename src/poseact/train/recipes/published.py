"""The trainings of the papers: one function per family of experiments; `tables` names them.

Sources: D. C. Luvizon, D. Picard, H. Tabia, TPAMI 2020 ("TPAMI") and CVPR 2018 with its supplement
("CVPR"), and their released code ("deephar"). Where text and code differ, the code is a variant of
its own, named `*_released`. What neither says is our choice, and its docstring says so.

Data is looked for in the folders mpii, penn, h36m and ntu of `$POSEACT_DATA`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from poseact.data.sets import ntu, penn
from poseact.models import multitask, spnet
from poseact.models.spnet import SPNetConfig
from poseact.models.weights import NetworkConfig
from poseact.train.config import Config, Mix, Stage

DATA = "$POSEACT_DATA"
MPII_PEOPLE = 25_600
"""Training people of MPII: 32 k iterations of 32 images are 40 epochs (TPAMI 4.2.3)."""
PENN_CLIPS = 1_163
"""Training clips of Penn Action: half of 2,326 (TPAMI 4.1)."""
NTU_CLIPS = 40_320
"""Training clips of NTU RGB+D 60, cross-subject (Shahroudy et al., CVPR 2016)."""

MPII = Mix("mpii", "mpii", 32, root=f"{DATA}/mpii", augment="tpami")
H36M = Mix("h36m", "h36m", 16, root=f"{DATA}/h36m", augment="tpami", options={"layout": "PA17"})
PENN = Mix("penn", "penn", 6, root=f"{DATA}/penn", augment="tpami", margin=1.5)
NTU = Mix("ntu", "ntu", 4, root=f"{DATA}/ntu", augment="tpami", margin=1.5)

# The optimisation of all of them: Keras' RMSprop, losses summed over the prediction blocks, no
# warming up, no clipping, no average.
STAGE = Stage(
    "pose",
    1,
    (),
    optimizer="rmsprop",
    schedule="constant",
    warmup=0,
    over_blocks="sum",
    action_weight=0.01,
    pose_loss="text",
)


def _run(
    name: str,
    model: NetworkConfig,
    stages: tuple[Stage, ...],
    *,
    layout: str,
    labels: tuple[tuple[str, ...], ...] = (),
    frames: int = 1,
    fps: float = 30.0,
    step: int = 0,
) -> Config:
    return Config(
        name=name,
        model=model,
        layout=layout,
        labels=labels,
        stages=stages,
        size=(256, 256),
        frames=frames,
        fps=fps,
        step=step,
        ema=0.0,
        clip_gradient=0.0,
        workers=4,
        log_every=100,
        checkpoint_s=600.0,
    )


# ------------------------------------------------------------------------------- TPAMI 2020, 2D

EPOCH = MPII_PEOPLE // 6
"""Steps of an epoch of the Penn trainings: `len(MPII) // 6` in the released script."""
EVERY_3_TO_10 = tuple(range(3, 11))


def tpami_penn(
    name: str,
    model: SPNetConfig,
    *,
    pose: tuple[Mix, ...] = (replace(MPII, count=26), PENN),
    ablate: Literal["nothing", "pose", "appearance"] = "nothing",
    last_block_only: bool = False,
) -> Config:
    """MPII and Penn Action (TPAMI 4.2.3): poses, the heads alone, then both alternate.

    Pose data: MPII 80 %, Penn 20 % of 32 images. Frames of a clip are 3 to 10 apart. Epochs are the
    released script's, whose numbers (2, 15, 25) the text repeats. Action poses are decoupled after
    half of all iterations (3.3.4). Penn's frame rate is taken as 30, of which every 6th.
    """
    clips = replace(
        PENN, name="clips", count=4, frames=8, steps=EVERY_3_TO_10, teaches="action", batch=0
    )
    base = replace(STAGE, over_blocks="last" if last_block_only else "sum")
    stages = (
        replace(base, steps=32_000, mix=pose),
        replace(
            base,
            name="actions",
            steps=2 * EPOCH,
            mix=(clips,),
            trains="actions",
            ablate=ablate,
        ),
        replace(
            base,
            name="both",
            steps=2 * 28 * EPOCH,  # 28 epochs of a pose batch and a clip batch a step
            mix=(*pose, replace(clips, batch=1)),
            schedule="steps",
            milestones=((15 - 2) / 28, (25 - 2) / 28),
            ablate=ablate,
        ),
    )
    stages = _decoupled(model, stages)
    return _run(
        name, model, stages, layout="PA16", labels=(penn.ACTIONS,), frames=8, fps=5.0, step=6
    )


def _decoupled(model: SPNetConfig, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Action poses are the supervised ones for half of the iterations, then their copies."""
    if not model.replica:
        return stages
    found, first, half = [], 0, sum(stage.steps for stage in stages) / 2
    for stage in stages:
        share = min(max((half - first) / stage.steps, 0.0), 1.0)
        found.append(replace(stage, coupled=share))
        first += stage.steps
    return tuple(found)


def tpami_penn_released(name: str, model: SPNetConfig) -> Config:
    """The released `train_penn_multimodel`: MPII alone for poses, +-30 degrees, every 4, 6 or 8.

    Its loss and its way of freezing; where the network has a replica, it is copied before each
    stage. It starts from pose weights that were never published: here the text's pose stage.
    """
    text = tpami_penn(name, model, pose=(MPII,))
    stages = tuple(
        replace(
            stage,
            mix=tuple(
                replace(m, steps=(4, 6, 8), augment="released_penn") if m.steps else m
                for m in stage.mix
            ),
            trains="actions_keras" if stage.name == "actions" else "all",
            copy_replica=model.replica and stage.name != "pose",
            coupled=0.0,
            pose_loss="released",
        )
        for stage in text.stages
    )
    return replace(text, stages=stages)


def tpami_penn_action_only(name: str) -> Config:
    """Table 6, first row: the full network without pose supervision; 30 epochs as with it."""
    full = tpami_penn(name, spnet.PUBLISHED["penn_paper"])
    clips = replace(full.stages[-1].mix[-1], batch=0)
    stage = replace(
        full.stages[-1],
        name="actions only",
        steps=30 * EPOCH,
        mix=(clips,),
        milestones=(15 / 30, 25 / 30),
        coupled=1.0,  # nothing supervises a pose
    )
    return replace(full, stages=(stage,))


# ------------------------------------------------------------------------------- TPAMI 2020, 3D

POSE_3D = (H36M, replace(MPII, count=12), NTU)
"""Human3.6M 50 %, MPII 37.5 %, NTU 12.5 % of 32 images (TPAMI 4.4)."""
POSE_3D_RELEASED = (
    replace(MPII, count=14),
    replace(H36M, count=14, augment="released_h36m"),
    replace(PENN, count=2),
    replace(NTU, count=2, augment="released_ntu_pose"),
)


def tpami_pose3d(name: str, pose: tuple[Mix, ...], *, released: bool) -> Config:
    """Poses alone, P = 8 (Table 1, single-task): 60 epochs of the released `train_pose_baseline`.

    The text gives no length for this row, and no mix of its own: the mix of 4.4, or the script's.
    """
    stage = replace(
        STAGE,
        steps=60 * MPII_PEOPLE // 14,
        mix=pose,
        pose_loss="released" if released else "text",
    )
    return _run(name, spnet.PUBLISHED["pose3d"], (stage,), layout="PA17")


def tpami_ntu(name: str, model: SPNetConfig) -> Config:
    """Human3.6M, MPII and NTU (TPAMI 4.2.3): 50 epochs of the heads alone, then both alternate.

    SGD at 0.01, divided by 10 after epochs 50 and 55. An epoch is taken as one pass through the
    clips, and the end as epoch 60, which the text leaves to a plateau.
    """
    clips = replace(
        NTU, name="clips", count=4, frames=8, steps=EVERY_3_TO_10, teaches="action", batch=0
    )
    epoch = NTU_CLIPS // 4
    sgd = replace(STAGE, optimizer="sgd", momentum=0.9)
    stages = (
        replace(STAGE, steps=32_000, mix=POSE_3D),
        replace(
            sgd,
            name="actions",
            steps=50 * epoch,
            mix=(clips,),
            trains="actions",
            lr=0.01,
        ),
        replace(
            sgd,
            name="both",
            steps=2 * 10 * epoch,
            mix=(*POSE_3D, replace(clips, batch=1)),
            lr=0.001,
            schedule="steps",
            milestones=(0.5,),
        ),
    )
    stages = _decoupled(model, stages)
    labels = (ntu.ACTIONS[:60],)
    return _run(name, model, stages, layout="PA17", labels=labels, frames=8, fps=3.75, step=8)


def tpami_ntu_released(name: str) -> Config:
    """The released `train_ntu_spnet` (P = 2): both tasks on NTU alone, epochs 20 to 90.

    Rate 0.001, divided by 10 after epochs 58 and 70; actions weigh 0.1; every 3rd, 4th or 5th frame
    of every second. It starts from pose weights that were never published: here the text's stage.
    """
    text = tpami_ntu(name, spnet.PUBLISHED["ntu_p2"])
    ntu_halved = replace(NTU, options={"step": 2})
    clips = replace(
        text.stages[-1].mix[-1],
        steps=(3, 4, 5),
        augment="released_ntu",
        options=ntu_halved.options,
    )
    stills = replace(ntu_halved, count=32, augment="released_ntu_pose")
    both = replace(
        text.stages[-1],
        steps=2 * 70 * (NTU_CLIPS // 4),
        mix=(stills, clips),
        milestones=((58 - 20) / 70, (70 - 20) / 70),
        action_weight=0.1,
        pose_loss="released",
    )
    return replace(text, stages=(replace(text.stages[0], pose_loss="released"), both))


def tpami_ntu_action_only(name: str) -> Config:
    """Table 6, first row, NTU: the full network without pose supervision; 60 epochs as with it."""
    full = tpami_ntu(name, spnet.PUBLISHED["ntu_paper"])
    stage = replace(
        full.stages[1],
        name="actions only",
        steps=60 * (NTU_CLIPS // 4),
        trains="all",
        schedule="steps",
        milestones=(50 / 60, 55 / 60),
    )
    return replace(full, stages=(stage,))


# ------------------------------------------------------------------------------- CVPR 2018

CVPR_EPOCHS = 120
"""Of the pose trainings: the released MPII script's, and at most so many under a plateau."""
CVPR_MPII = replace(MPII, count=24, augment="cvpr")
CVPR_H36M = replace(H36M, count=24, augment="cvpr")


def cvpr_pose(
    name: str, model: NetworkConfig, pose: tuple[Mix, ...], *, validation: tuple[Mix, ...] = ()
) -> Config:
    """Poses (supplement, appendix B): batches of 24, RMSprop, times 0.2 at a plateau, K = 8.

    A check an epoch of MPII, 5 without progress are a plateau: our choice. Only MPII has validation
    people that are not the test's; elsewhere the training loss decides.
    """
    return _run(name, model, (_cvpr_pose_stage(pose, validation),), layout=_pa(model))


def _cvpr_pose_stage(pose: tuple[Mix, ...], validation: tuple[Mix, ...] = ()) -> Stage:
    epoch = MPII_PEOPLE // 24
    return replace(
        STAGE,
        steps=CVPR_EPOCHS * epoch,
        mix=pose,
        schedule="plateau",
        factor=0.2,
        patience=5,
        drops=None,
        check_every=epoch,
        validation=validation,
    )


def _pa(model: NetworkConfig) -> str:
    return f"PA{model.joints}"


def cvpr_mpii_released(name: str) -> Config:
    """The released MPII script: times 0.2 after 80 and 100 of 120 epochs, its loss, 40 degrees."""
    stage = replace(
        STAGE,
        steps=CVPR_EPOCHS * (MPII_PEOPLE // 24),
        mix=(replace(MPII, count=24),),
        schedule="steps",
        factor=0.2,
        milestones=(80 / 120, 100 / 120),
        pose_loss="released",
    )
    return _run(name, multitask.PUBLISHED["mpii_k8"], (stage,), layout="PA16")


def cvpr_actions(
    name: str,
    model: NetworkConfig,
    pose: tuple[Mix, ...],
    clips: Mix,
    *,
    labels: tuple[str, ...],
    epoch: int,
    epochs: int,
    fine_tune: bool = True,
) -> Config:
    """Poses, the heads alone, then 5 epochs of everything (supplement, appendix B), K = 4.

    SGD, momentum 0.98, 2e-4, 2 clips a batch. Fine-tuning goes on at a tenth of the rate that was
    reached, and by the action loss: released networks of this kind have no other output. `epochs`,
    and 3 without progress as a plateau, are our choice.
    """
    clips = replace(clips, name="clips", count=2, steps=(1, 2, 3), teaches="action")
    actions = replace(
        STAGE,
        name="actions",
        steps=epochs * epoch,
        mix=(clips,),
        trains="actions_keras",
        optimizer="sgd",
        momentum=0.98,
        lr=2e-4,
        schedule="plateau",
        factor=0.2,
        drops=None,
        check_every=epoch,
        action_weight=1.0,
    )
    tuned = replace(
        actions,
        name="fine tuning",
        steps=5 * epoch,
        trains="all",
        follow=0.1,
        schedule="constant",
    )
    stages = (_cvpr_pose_stage(pose), actions, *([tuned] if fine_tune else []))
    return _run(
        name,
        model,
        stages,
        layout=_pa(model),
        labels=(labels,),
        frames=clips.frames,
        fps=15.0,
        step=2,
    )


def cvpr_penn(name: str) -> Config:
    """Penn Action, T = 16; poses from MPII 75 % and Penn 25 % (5.4).

    At most 74 epochs of the heads, the number in the name of the published weights.
    """
    pose = (replace(CVPR_MPII, count=18), replace(PENN, augment="cvpr"))
    clips = replace(PENN, frames=16, augment="cvpr")
    model = multitask.PUBLISHED["penn_k4"]
    return cvpr_actions(
        name, model, pose, clips, labels=penn.ACTIONS, epoch=PENN_CLIPS // 2, epochs=74
    )


def cvpr_penn_joint(name: str) -> Config:
    """Both tasks from the start (5.4, "joint learning"): batches of poses and of clips alternate.

    The text gives no more: for as many batches of each as the poses of `cvpr_penn` have, by RMSprop
    at 0.001, actions weigh 0.01 as in TPAMI.
    """
    sequential = cvpr_penn(name)
    pose, actions, _ = sequential.stages
    (clips,) = actions.mix
    joint = replace(
        pose,
        name="joint",
        steps=2 * pose.steps,
        mix=(*pose.mix, replace(clips, batch=1)),
        check_every=2 * pose.check_every,
        action_weight=0.01,
    )
    return replace(sequential, stages=(joint,))


def on_annotated_poses(name: str, config: Config) -> Config:
    """The same, with actions learnt from the data's poses (Table 3, first row; Table 5, Kinect)."""
    stages = [replace(s, poses="annotated") if s.name != "pose" else s for s in config.stages]
    return replace(config, name=name, stages=tuple(stages))


def cvpr_ntu(name: str, *, fine_tune: bool = True) -> Config:
    """NTU, T = 20; poses from NTU 10 %, MPII 45 %, Human3.6M 45 % (5.4): 2, 11 and 11 of 24."""
    pose = (
        replace(NTU, count=2, augment="cvpr"),
        replace(CVPR_MPII, count=11),
        replace(CVPR_H36M, count=11, options={"layout": "PA20"}),
    )
    return cvpr_actions(
        name,
        multitask.PUBLISHED["ntu_k4"],
        pose,
        replace(NTU, frames=20, augment="cvpr"),
        labels=ntu.ACTIONS[:60],
        epoch=NTU_CLIPS // 2,
        epochs=30,
        fine_tune=fine_tune,
    )
