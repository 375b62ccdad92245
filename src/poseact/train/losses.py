"""Losses per element; `masked_mean` reduces them afterwards.

Unknown targets are NaN. They are replaced by 0 before any arithmetic, because a NaN that a mask
removes from the sum would still come back through the gradient (0 * NaN); the mask given to
`masked_mean` must leave those elements out. All arithmetic is float32, also under autocast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from poseact.models.layers import Cells, hat_weights

CONFIDENCE_EPSILON = 1e-6
KERAS_EPSILON = 1e-7


def masked_mean(
    values: Float[Tensor, "*b"], mask: Bool[Tensor, "*#b"] | Float[Tensor, "*#b"]
) -> Float[Tensor, ""]:
    """Mean of the values where the mask (broadcast to them) is true; of weights, weighted by them.

    With nothing to average it is 0, still connected to the values, so that backward() works.
    """
    mask = mask.expand_as(values)
    return (torch.where(mask > 0, values, 0.0) * mask).sum() / mask.sum().clamp(min=1)


def elastic_net(
    pred: Float[Tensor, "*b J D"], target: Float[Tensor, "*b J D"]
) -> Float[Tensor, "*b J D"]:
    """|d| + d^2 per coordinate (CVPR 2018 Eq. 3; TPAMI 2020 section 4.2.1). NaN counts as 0."""
    d = pred.float() - _known(target)
    return d.abs() + d**2


def joint_elastic_net(
    pred: Float[Tensor, "*b J D"],
    target: Float[Tensor, "*b J D"],
    valid: Bool[Tensor, "*b J D"] | Float[Tensor, "*b J D"],
) -> Float[Tensor, "*b J"]:
    """The norms of CVPR 2018 Eq. 3 and TPAMI 2020 Eq. 11: summed over a joint's known coordinates.

    Their mean over the joints of which any is known is the text's loss.
    """
    return torch.where(valid > 0, elastic_net(pred, target), 0.0).sum(-1)


REACH = 0.06
"""About 0.2 of the torso of somebody who stands, as a share of the longer side of the pose."""


@torch.no_grad()
def is_right(pred: Float[Tensor, "*b J D"], pose: Float[Tensor, "*b J D"]) -> Bool[Tensor, "*b J"]:
    """Whether a joint is within `REACH` of where it is known to be; False where that is NaN."""
    uv = pose[..., :2].float()
    known = ~uv.isnan()
    low = torch.where(known, uv, torch.inf).amin(-2, keepdim=True)
    high = torch.where(known, uv, -torch.inf).amax(-2, keepdim=True)
    side = (high - low).amax(-1)  # *b 1
    return (pred[..., :2].float() - uv).norm(dim=-1) < REACH * side


def confidence_bce(
    score: Float[Tensor, "*b J"], inside: Bool[Tensor, "*b J"]
) -> Float[Tensor, "*b J"]:
    """Binary cross entropy of a confidence 0..1 against "the joint lies in the crop" (TPAMI 4.2.1),
    or another fact about it.

    Scores are clamped to [1e-6, 1 - 1e-6]: a sum of probabilities passes 1 by rounding.
    """
    score = score.float().clamp(CONFIDENCE_EPSILON, 1 - CONFIDENCE_EPSILON)
    return -torch.where(inside, score, 1 - score).log()


def action_cross_entropy(
    logits: Float[Tensor, "B A"],
    target: Int[Tensor, "B"],
    *,
    ignore_index: int = -1,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross entropy over the rows that have a class; 0 if none has."""
    total = F.cross_entropy(
        logits.float(),
        target,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return total / (target != ignore_index).sum().clamp(min=1)


def heatmap_cross_entropy(
    logits: Float[Tensor, "*b J h w"],
    uv: Float[Tensor, "*b J 2"],
    *,
    cell_centres: Cells,
) -> Float[Tensor, "*b J"]:
    """Cross entropy of the spatial softmax of a heat map against a point, per joint.

    The target spreads 1 over the (up to) four cells around the point, bilinearly, so that its
    expectation under the grid (`layers.grid`) is the point itself; the least possible value is its
    entropy. A point beyond the outermost cells counts as on them; NaN counts as 0: mask what is
    unknown or outside.
    """
    logits, uv = logits.float(), _known(uv)
    h, w = logits.shape[-2:]
    x = hat_weights(uv[..., 0], w, cell_centres=cell_centres)  # *b J w
    y = hat_weights(uv[..., 1], h, cell_centres=cell_centres)  # *b J h
    at_target = torch.einsum("...hw,...h,...w->...", logits, y, x)
    return logits.logsumexp((-2, -1)) - at_target


def deephar_pose_loss(
    pred: Float[Tensor, "*b J D"], target: Float[Tensor, "*b J D"]
) -> Float[Tensor, "*b"]:
    """The pose loss of the released code (`losses.py`, `l1l2bincross`), one value per pose.

    Over the coordinates with target > 0: sum of |d| + d^2 + 0.01 BCE(target, pred), divided by the
    number of those coordinates (not of joints, as the papers have it; 1 at least), with pred
    clipped to [1e-7, 1 - 1e-7] inside the BCE. Unknown is NaN here or any target <= 0, so a
    coordinate of exactly 0 does not count, as in the original.
    """
    valid = target > 0  # false for NaN
    pred, target = pred.float(), torch.where(valid, target.float(), 0.0)
    clipped = pred.clamp(KERAS_EPSILON, 1 - KERAS_EPSILON)
    bce = -(target * clipped.log() + (1 - target) * torch.log1p(-clipped))
    values = torch.where(valid, elastic_net(pred, target) + 0.01 * bce, 0.0)
    return values.sum((-2, -1)) / valid.sum((-2, -1)).clamp(min=1)


def _known(target: Tensor) -> Tensor:
    """float32 with NaN replaced by 0."""
    return torch.where(target.isnan(), 0.0, target.float())
