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


def spnet_s(*, steps: int = 6000, clips: int = 5000) -> Config:
    """The small shipped network: rendered people (2D, 3D, actions) with real photos (2D).

    A batch is 20 photos of LSP-extended, two clips of eight rendered frames and 4 rendered stills
    of other poses (unstructured ones and motion capture). `$POSEACT_SHARED/data` holds the photos
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
    poses = replace(people, random_pose=0.6, mocap=f"{SHARED}/mocap", mocap_share=1.0)
    mix = (
        Mix("photos", "lspet", 20, augment="strong", root=f"{SHARED}/lspet"),
        Mix("clips", "people", 2, frames=8, augment="strong", people=people, clips=clips),
        Mix("poses", "people", 4, augment="strong", people=poses, clips=clips // 5),
    )
    stage = Stage(
        "all",
        steps,
        mix,
        lr=2e-3,
        weight_decay=1e-4,
        action_weight=0.1,
        heatmap_weight=0.1,
        heatmap_until=0.8,
    )
    return Config(
        name="spnet_s",
        model=SPNetConfig(
            joints=17,
            dim=3,
            actions=(len(ACTIONS),),
            pyramids=2,
            action_pyramids=(1, 2),
            levels=4,
            growth=48,
            image_div=4,
            pose_features=64,
            visual_features=64,
            entry="light",
            cell_centres=True,
        ),
        layout="PA17",
        labels=(ACTIONS,),
        stages=(stage,),
        provenance={"data": "rendered people (train split); LSP-extended (train split)"},
    )


RECIPES = {"spnet_s": spnet_s}
