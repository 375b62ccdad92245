"""The cells of the papers' tables, and which training gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from poseact.models import multitask, spnet
from poseact.train.config import Config
from poseact.train.recipes import published, report


@dataclass(frozen=True)
class Cell:
    """A published number: table, what was measured, value and unit, and how to measure it here.

    evaluate: arguments of `poseact eval`; number: which of the numbers that it gives, such as
    "top1" or "by_joint/neck/pckh_0.5".
    """

    table: str
    what: str
    expected: float
    unit: str
    evaluate: str
    number: str = "top1"


@dataclass(frozen=True)
class Experiment:
    """A training by its recipe, and the cells it gives. cost: what the source says of its price."""

    config: Callable[[], Config]
    cells: tuple[Cell, ...] = ()
    cost: str = ""


MPII = "--data mpii --protocol pckh"
MPII_CROP = "--data mpii --protocol pckh-in-crop"
H36M = "--data h36m --protocol p1"
PENN_1, PENN_N = "--data penn --protocol single-clip", "--data penn --protocol multi-clip"
PENN_RELEASED = "--data penn --protocol released"
NTU = "--data ntu --protocol cross-subject"
NTU_RELEASED = "--data ntu --protocol cross-subject-released"
NTU_N = "--data ntu --protocol cross-subject-multi-clip"
PENN_GIVEN = "--data penn --protocol multi-clip-annotated"
NTU_GIVEN = "--data ntu --protocol cross-subject-kinect"
CROPS = " --views multi_crop"
PCKH, MPJPE, APPEARANCE = "pckh_0.5", "mpjpe_mm_mean_of_actions", "top1_appearance"

ONE_PLUS_TWO = "about 1 + 2 days on a GTX 1080 Ti (4.2.3)"
ONE_PLUS_THREE = "about 1 + 3 days on a GTX 1080 Ti (4.2.3)"


def _mpii_and_penn(table: str, pckh: float, action: float) -> tuple[Cell, Cell]:
    """A row of TPAMI Table 4 or 5."""
    return (
        Cell(table, "MPII val PCKh@0.5, single-crop", pckh, "%", MPII_CROP, PCKH),
        Cell(table, "Penn Action, single-clip", action, "%", PENN_1),
    )


_P2 = spnet.PUBLISHED["penn_p2"]
_PAPER = spnet.PUBLISHED["penn_paper"]
_FULL_2D = (
    Cell("TPAMI Table 2", "Penn Action, single-clip", 98.2, "%", PENN_1),
    Cell("TPAMI Table 2", "Penn Action, multi-clip", 98.7, "%", PENN_N),
    *_mpii_and_penn("TPAMI Table 4, P = 8", 88.3, 98.2),
    Cell("TPAMI Table 6", "Penn Action, multi-task + MPII", 98.2, "%", PENN_1),
    Cell("TPAMI Table 7, 2D at 120 fps", "MPII val PCKh@0.5", 88.3, "%", MPII_CROP, PCKH),
    Cell("TPAMI Table 7, 2D at 120 fps", "Penn Action", 98.7, "%", PENN_N),
    Cell("TPAMI Table 7, 2D at 240 fps: a cut", "MPII val PCKh@0.5", 85.5, "%", MPII_CROP, PCKH),
    Cell("TPAMI Table 7, 2D at 240 fps: a cut", "Penn Action", 97.5, "%", PENN_N),
)
_FULL_3D = (
    Cell("TPAMI Table 1", "Human3.6M MPJPE, multi-task", 48.6, "mm", H36M, MPJPE),
    Cell("TPAMI Table 3", "NTU cross-subject", 89.9, "%", NTU),
    Cell("TPAMI Table 6", "NTU, multi-task + MPII + H36M", 89.9, "%", NTU),
    Cell("TPAMI Table 7, 3D at 90 fps", "MPII val PCKh@0.5", 87.0, "%", MPII_CROP, PCKH),
    Cell("TPAMI Table 7, 3D at 90 fps", "Human3.6M MPJPE", 48.6, "mm", H36M, MPJPE),
    Cell("TPAMI Table 7, 3D at 90 fps", "NTU cross-subject", 89.9, "%", NTU),
    Cell("TPAMI Table 7, 3D at 180 fps: a cut", "MPII val PCKh@0.5", 83.8, "%", MPII_CROP, PCKH),
    Cell("TPAMI Table 7, 3D at 180 fps: a cut", "Human3.6M MPJPE", 57.3, "mm", H36M, MPJPE),
    Cell("TPAMI Table 7, 3D at 180 fps: a cut", "NTU cross-subject", 87.7, "%", NTU),
    Cell("TPAMI Table 7, 3D at 240 fps: a cut", "MPII val PCKh@0.5", 80.7, "%", MPII_CROP, PCKH),
    Cell("TPAMI Table 7, 3D at 240 fps: a cut", "Human3.6M MPJPE", 63.9, "mm", H36M, MPJPE),
    Cell("TPAMI Table 7, 3D at 240 fps: a cut", "NTU cross-subject", 86.6, "%", NTU),
)
_SINGLE_3D = (Cell("TPAMI Table 1", "Human3.6M MPJPE, pose only", 49.5, "mm", H36M, MPJPE),)
_CVPR_MPII = (
    Cell("CVPR Table 2 (test)", "MPII PCKh@0.5", 91.2, "%", MPII, PCKH),
    Cell("CVPR Table 2 (test)", "MPII PCKh@0.2", 67.7, "%", MPII, "pckh_0.2"),
    Cell("CVPR Table 2 (test)", "MPII AUC@0.5", 63.9, "%", MPII, "auc_0.5"),
    Cell("CVPR Table 2 (test)", "MPII AUC@0.2", 34.9, "%", MPII, "auc_0.2"),
)


def _ntu_row(
    row: str, evaluate: str, *, pose: float, appearance: float, both: float
) -> tuple[Cell, ...]:
    """A row of CVPR Table 5: the last pose block, the last appearance block, their aggregation."""
    columns = {
        "aggregation": (both, "top1"),
        "pose": (pose, "top1_pose"),
        "appearance": (appearance, "top1_appearance"),
    }
    return tuple(
        Cell(f"CVPR Table 5, {row}", f"NTU cross-subject, {column}", value, "%", evaluate, number)
        for column, (value, number) in columns.items()
    )


EXPERIMENTS: dict[str, Experiment] = {
    # TPAMI 2020, 2D
    "tpami_penn": Experiment(
        partial(published.tpami_penn, "tpami_penn", _PAPER), _FULL_2D, ONE_PLUS_TWO
    ),
    "tpami_penn_26m": Experiment(
        partial(
            published.tpami_penn, "tpami_penn_26m", spnet.PUBLISHED["penn_two_action_pyramids"]
        ),
        _mpii_and_penn("TPAMI Table 4, P = 8 (its 26 M parameters)", 88.3, 98.2),
        ONE_PLUS_TWO,
    ),
    "tpami_penn_released": Experiment(
        partial(published.tpami_penn_released, "tpami_penn_released", spnet.PUBLISHED["penn_eval"]),
        (
            Cell("TPAMI Table 2", "Penn Action, single-clip", 98.2, "%", PENN_1),
            Cell("TPAMI Table 2", "Penn Action, multi-clip", 98.7, "%", PENN_RELEASED),
        ),
    ),
    "tpami_penn_p2": Experiment(
        partial(published.tpami_penn, "tpami_penn_p2", _P2),
        (
            *_mpii_and_penn("TPAMI Table 4, P = 2", 85.1, 98.1),
            *_mpii_and_penn("TPAMI Table 5, combined", 85.1, 98.1),
        ),
    ),
    "tpami_penn_p2_released": Experiment(
        partial(published.tpami_penn_released, "tpami_penn_p2_released", _P2),
        _mpii_and_penn("TPAMI Table 4, P = 2", 85.1, 98.1),
    ),
    "tpami_penn_p2_last": Experiment(
        partial(published.tpami_penn, "tpami_penn_p2_last", _P2, last_block_only=True),
        _mpii_and_penn("TPAMI Table 4, single-PB p = 2, l = 1", 84.2, 97.5),
    ),
    "tpami_penn_p1": Experiment(
        partial(
            published.tpami_penn,
            "tpami_penn_p1",
            replace(_P2, action_pyramids=(1,), exit=(1, 1)),  # the text's levels count from 1
        ),
        _mpii_and_penn("TPAMI Table 4, single-PB p = 1, l = 2", 74.3, 97.2),
    ),
    "tpami_penn_p2_pose": Experiment(
        partial(published.tpami_penn, "tpami_penn_p2_pose", _P2, ablate="appearance"),
        _mpii_and_penn("TPAMI Table 5, pose features only", 84.9, 97.7),
    ),
    "tpami_penn_p2_appearance": Experiment(
        partial(published.tpami_penn, "tpami_penn_p2_appearance", _P2, ablate="pose"),
        _mpii_and_penn("TPAMI Table 5, appearance features only", 85.2, 97.9),
    ),
    "tpami_penn_p2_decoupled": Experiment(
        partial(published.tpami_penn, "tpami_penn_p2_decoupled", replace(_P2, replica=True)),
        _mpii_and_penn("TPAMI Table 5, combined + decoupled poses", 85.4, 98.2),
    ),
    "tpami_penn_action_only": Experiment(
        partial(published.tpami_penn_action_only, "tpami_penn_action_only"),
        (Cell("TPAMI Table 6", "Penn Action, action only", 87.5, "%", PENN_1),),
    ),
    "tpami_penn_same_data": Experiment(
        partial(
            published.tpami_penn,
            "tpami_penn_same_data",
            _PAPER,
            pose=(replace(published.PENN, count=32),),
        ),
        (Cell("TPAMI Table 6", "Penn Action, multi-task, same data", 97.4, "%", PENN_1),),
    ),
    # TPAMI 2020, 3D
    "tpami_pose3d": Experiment(
        partial(published.tpami_pose3d, "tpami_pose3d", published.POSE_3D, released=False),
        _SINGLE_3D,
        "about 1 day on a GTX 1080 Ti for the first 32 k of its steps (4.2.3)",
    ),
    "tpami_pose3d_released": Experiment(
        partial(
            published.tpami_pose3d,
            "tpami_pose3d_released",
            published.POSE_3D_RELEASED,
            released=True,
        ),
        _SINGLE_3D,
    ),
    "tpami_ntu": Experiment(
        partial(published.tpami_ntu, "tpami_ntu", spnet.PUBLISHED["ntu_paper"]),
        _FULL_3D,
        ONE_PLUS_THREE,
    ),
    "tpami_ntu_decoupled": Experiment(
        partial(
            published.tpami_ntu,
            "tpami_ntu_decoupled",
            replace(spnet.PUBLISHED["ntu_paper"], replica=True),
        ),
        (
            Cell("TPAMI Table 1", "Human3.6M MPJPE, multi-task", 48.6, "mm", H36M, MPJPE),
            Cell("TPAMI Table 3", "NTU cross-subject", 89.9, "%", NTU),
        ),
        ONE_PLUS_THREE,
    ),
    "tpami_ntu_released": Experiment(
        partial(published.tpami_ntu_released, "tpami_ntu_released"),
        (Cell("TPAMI Table 3", "NTU cross-subject", 89.9, "%", NTU_RELEASED),),
    ),
    "tpami_ntu_action_only": Experiment(
        partial(published.tpami_ntu_action_only, "tpami_ntu_action_only"),
        (Cell("TPAMI Table 6", "NTU, action only", 88.0, "%", NTU),),
    ),
    # CVPR 2018
    "cvpr_mpii": Experiment(
        partial(
            published.cvpr_pose,
            "cvpr_mpii",
            multitask.PUBLISHED["mpii_k8"],
            (published.CVPR_MPII,),
            validation=(
                replace(published.CVPR_MPII, name="held out", split="val", augment="none"),
            ),
        ),
        _CVPR_MPII,
    ),
    "cvpr_mpii_released": Experiment(
        partial(published.cvpr_mpii_released, "cvpr_mpii_released"), _CVPR_MPII
    ),
    "cvpr_h36m": Experiment(
        partial(
            published.cvpr_pose,
            "cvpr_h36m",
            multitask.PUBLISHED["h36m_k8"],
            (replace(published.CVPR_MPII, count=12), replace(published.CVPR_H36M, count=12)),
        ),
        (
            Cell("CVPR Table 1", "Human3.6M MPJPE, single-crop", 55.1, "mm", H36M, MPJPE),
            Cell("CVPR Table 1", "Human3.6M MPJPE, multi-crop", 53.2, "mm", H36M + CROPS, MPJPE),
            Cell("CVPR suppl. Table 1, + MPII", "Human3.6M, single-crop", 55.1, "mm", H36M, MPJPE),
            Cell(
                "CVPR suppl. Table 1, + MPII",
                "Human3.6M, multi-crop",
                53.2,
                "mm",
                H36M + CROPS,
                MPJPE,
            ),
        ),
    ),
    "cvpr_h36m_only": Experiment(
        partial(
            published.cvpr_pose,
            "cvpr_h36m_only",
            multitask.PUBLISHED["h36m_k8"],
            (published.CVPR_H36M,),
        ),
        (
            Cell("CVPR suppl. Table 1, alone", "Human3.6M, single-crop", 67.3, "mm", H36M, MPJPE),
            Cell(
                "CVPR suppl. Table 1, alone",
                "Human3.6M, multi-crop",
                63.8,
                "mm",
                H36M + CROPS,
                MPJPE,
            ),
        ),
    ),
    "cvpr_penn": Experiment(
        partial(published.cvpr_penn, "cvpr_penn"),
        (Cell("CVPR Table 3", "Penn Action, estimated poses", 97.4, "%", PENN_N),),
    ),
    "cvpr_penn_joint": Experiment(
        partial(published.cvpr_penn_joint, "cvpr_penn_joint"),
        (Cell("CVPR 5.4, joint learning", "Penn Action, estimated poses", 97.3, "%", PENN_N),),
    ),
    "cvpr_penn_annotated": Experiment(
        lambda: published.on_annotated_poses(
            "cvpr_penn_annotated", published.cvpr_penn("cvpr_penn")
        ),
        (Cell("CVPR Table 3", "Penn Action, annotated poses", 98.6, "%", PENN_GIVEN),),
    ),
    "cvpr_ntu": Experiment(
        partial(published.cvpr_ntu, "cvpr_ntu"),
        (
            Cell("CVPR Table 4", "NTU cross-subject, RGB and poses", 85.5, "%", NTU_N),
            Cell("CVPR Table 4", "NTU cross-subject, RGB alone", 84.6, "%", NTU_N, APPEARANCE),
            *_ntu_row("estimated poses + FT", NTU, pose=71.7, appearance=83.2, both=84.4),
            *_ntu_row("estimated poses + FT + MC", NTU_N, pose=74.3, appearance=84.6, both=85.5),
        ),
    ),
    "cvpr_ntu_frozen": Experiment(
        partial(published.cvpr_ntu, "cvpr_ntu_frozen", fine_tune=False),
        _ntu_row("estimated poses", NTU, pose=64.5, appearance=80.1, both=81.1),
    ),
    "cvpr_ntu_kinect": Experiment(
        lambda: published.on_annotated_poses(
            "cvpr_ntu_kinect", published.cvpr_ntu("cvpr_ntu", fine_tune=False)
        ),
        _ntu_row("Kinect poses", NTU_GIVEN, pose=63.3, appearance=76.4, both=78.2),
    ),
    # the 2024 report
    "report_vgg_mpii": Experiment(
        partial(report.report_vgg_mpii, "report_vgg_mpii"),
        (
            Cell("Report 5.1", "MPII, neck", 7.4, "%", MPII, "by_joint/neck/pckh_0.5"),
            Cell("Report 5.1", "MPII, left knee", 1.0, "%", MPII, "by_joint/l_knee/pckh_0.5"),
        ),
    ),
    "report_vgg_penn": Experiment(
        partial(report.report_vgg_penn, "report_vgg_penn"),
        (Cell("Report 5.1", "Penn Action", 44.1, "%", PENN_1),),
    ),
}
"""By the name of the recipe, in the order of the tables."""
