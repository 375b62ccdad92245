"""One function per shipped model and per published experiment; each returns a `Config`.

Change one with `dataclasses.replace`, or on the command line with `--section.key value`.
"""

from __future__ import annotations

from dataclasses import replace

from poseact.models.spnet import SPNetConfig
from poseact.people.motions import ACTIONS
from poseact.people.scene import PeopleConfig
from poseact.train import Config, Mix, Stage

SHARED = "$POSEACT_SHARED/data"
"""Where the data of the shipped models lies; expanded when a run opens it."""


def spnet_s(*, steps: int = 7500, clips: int = 5000) -> Config:
    """The small shipped network: rendered people (2D, 3D, actions) with real photos (2D).

    First poses: a batch is 20 photos of LSP-extended, 16 rendered frames of actions and 4 of other
    poses (unstructured ones and motion capture). Then the action heads, on clips, with the pose
    part frozen, as in the papers' stages: trained together from the start, the gradient of heads
    that read poses which are not there yet drowns the pose's. `$POSEACT_SHARED/data` holds photos
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
        steps,
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
    actions = Stage(
        "actions", 1200, (moving,), trains="actions", cached=64, lr=3e-3, weight_decay=0.05
    )
    return Config(
        name="spnet_s",
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
        stages=(pose, actions),
        provenance={
            "data": "rendered people (train split; CC0 bodies and backgrounds; motion capture of "
            "CMU, HDM05 and MIT); photos of LSP-extended (train split)"
        },
    )


RECIPES = {"spnet_s": spnet_s}
