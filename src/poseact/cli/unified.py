"""The options of `poseact predict --model unified`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

if TYPE_CHECKING:
    from poseact.inference.predictor import Predictor
    from poseact.skeletons.pipeline import Unified


@dataclass(frozen=True)
class UnifiedOptions:
    """For --model unified."""

    classifier: Annotated[str | None, arg(metavar="FILE")] = None
    """A classifier of skeletons: classifier.safetensors of a search, or a shipped one."""
    keypoints: Annotated[Path | None, arg(metavar="FILE")] = None
    """2D joints of IN that another program found: OpenPose JSON, COCO results, .jsonl, .npy."""
    keypoint_layout: Annotated[str | None, arg(metavar="NAME")] = None
    """Their joints' order, where the file does not tell."""
    lifter: str = "lifter"
    """The shipped lifter, or the weights file of another."""
    causal: bool = False
    """Answer at once: missing joints are held, not interpolated."""

    def wanted(self, model: str, inputs: int, *, box: bool, rtmlib: bool) -> bool:
        """Whether the pipeline is asked for; ValueError for options that do not go together."""
        if model != "unified":
            if self != UnifiedOptions():
                raise ValueError(
                    "--classifier, --keypoints, --lifter and --causal are for --model unified"
                )
            return False
        if self.keypoints is not None and inputs > 1:
            raise ValueError(
                f"--keypoints {self.keypoints} is of one picture or video, got {inputs}"
            )
        if box and (self.keypoints is not None or rtmlib):
            raise ValueError("--box is for the search of our own network: leave it out")
        return True

    def pipeline(
        self, network: Callable[[], Predictor], device: str | None, *, rtmlib: bool
    ) -> Unified:
        """The pipeline, with what a user should know of it printed.

        rtmlib: where there is no file of joints, RTMPose finds them and not the network.
        """
        from poseact.inference.keypoint_sources import FromFile, RTMLib
        from poseact.models.weights import load_lifter
        from poseact.skeletons.classifier_file import load_classifier
        from poseact.skeletons.keypoints import read_keypoints
        from poseact.skeletons.pipeline import Unified

        lifter = load_lifter(self.lifter).model
        classifier = None if self.classifier is None else load_classifier(self.classifier)
        if self.keypoints is not None:
            poses = FromFile(read_keypoints(self.keypoints, layout=self.keypoint_layout))
        elif rtmlib:
            poses = RTMLib(device=device or "cpu")
        else:
            poses = network()
        unified = Unified(poses, lifter, classifier, causal=self.causal)
        for note in unified.notes():
            print(note, flush=True)
        return unified
