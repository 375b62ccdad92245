"""What both networks share: single frames first, then clips of what they said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from poseact.core.types import Output


class FrameOutput(NamedTuple):
    """Everything about single frames (N of them): pose is a single-frame task.

    poses: (N, J, D) per block; scores: (N, J); heatmaps: (N, J, h, w) logits. features: two tensors
    per action block, pose (N, J, D) times confidence and appearance (N, J, C), all that actions
    need. decoupled: poses, scores and logits of the replica maps, empty without `replica`.
    """

    poses: list[Tensor]
    scores: list[Tensor]
    heatmaps: list[Tensor]
    features: tuple[Tensor, ...]
    decoupled: list[tuple[Tensor, Tensor, Tensor]]


class PoseActionNetwork(nn.Module, ABC):
    """`frames` does all that a single frame needs, `actions` the rest for clips of T frames.

    A clip never depends on its batch neighbours in eval mode. answer_only: `frames` leaves out the
    poses that are neither the answer nor read for actions.
    """

    answer_only = False

    @abstractmethod
    def frames(
        self, x: Float[Tensor, "N 3 H W"], annotated: Float[Tensor, "N J D"] | None = None
    ) -> FrameOutput: ...

    @abstractmethod
    def actions(self, features: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]: ...

    def forward(
        self,
        frames: Float[Tensor, "B T 3 H W"],
        annotated: Float[Tensor, "B T J D"] | None = None,
    ) -> Output:
        """Poses of every frame and actions of every clip; a still is a clip with T = 1.

        annotated: poses u v [d] that actions are recognised from in place of the network's own, NaN
        unknown (CVPR 2018, Table 3 "annotated poses", Table 5 "Kinect poses").
        """
        b, t = frames.shape[:2]
        given = (
            () if annotated is None else (annotated.flatten(0, 1),)
        )  # not every network takes it
        out = self.frames(frames.flatten(0, 1), *given)
        features = tuple(feature.unflatten(0, (b, t)) for feature in out.features)

        def clips(xs: list[Tensor]) -> list[Tensor]:
            return [x.unflatten(0, (b, t)) for x in xs]

        actions = self.actions(features) if t > 1 else []
        return Output(clips(out.poses), clips(out.scores), actions, clips(out.heatmaps))
