"""The trainings of a 2024 master's report: the authors' network on a VGG-16, MPII and Penn Action.

"2D/3D Pose Estimation and Action Recognition using Multitask Deep Learning" with a VGG-16 stem. Its
figures say 1024 channels at the stem, 96 more a level, 16 joints. Its optimisers are those of the
CVPR 2018 supplement. It does not say how many pyramids there are (here 2, as in the released
trainings), how long a clip is (8 frames), nor for how long it trained ("a lower number of training
epochs than ideally required"): here as long as the paper's. `--stem FILE` begins from ImageNet's
weights in torchvision's form; the report does not say whether it did.
"""

from __future__ import annotations

from dataclasses import replace

from poseact.data.sets import penn
from poseact.models import spnet
from poseact.train.config import Config
from poseact.train.recipes.published import (
    CVPR_MPII,
    PENN,
    PENN_CLIPS,
    cvpr_actions,
    cvpr_pose,
)

PENN_NETWORK = replace(spnet.PUBLISHED["penn_p2"], entry="vgg16", entry_channels=1024)
MPII_NETWORK = replace(PENN_NETWORK, actions=(), action_pyramids=())


def report_vgg_mpii(name: str) -> Config:
    """Poses alone: RMSprop at 0.001, times 0.2 where the held-out people's loss no longer falls."""
    held_out = replace(CVPR_MPII, name="held out", split="val", augment="none")
    return cvpr_pose(name, MPII_NETWORK, (CVPR_MPII,), validation=(held_out,))


def report_vgg_penn(name: str) -> Config:
    """Poses; the heads alone by SGD (Nesterov, 0.98, 2e-4); 5 epochs of all at a tenth of that."""
    pose = (replace(CVPR_MPII, count=18), replace(PENN, augment="cvpr"))
    return cvpr_actions(
        name,
        PENN_NETWORK,
        pose,
        replace(PENN, frames=8, augment="cvpr"),
        labels=penn.ACTIONS,
        epoch=PENN_CLIPS // 2,
        epochs=74,
    )
