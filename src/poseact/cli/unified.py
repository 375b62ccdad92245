"""The options of `poseact predict --model unified`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    detector: Literal["network", "rtmlib"] = "network"
    """Who finds 2D joints where there is no such file: --weights, or RTMPose (an extra)."""
    lifter: str = "lifter"
    """The shipped lifter, or the weights file of another."""
    causal: bool = False
    """Answer at once: missing joints are held, not interpolated."""

    def wanted(self, model: str, inputs: int, *, box: bool) -> bool:
        """Whether the pipeline is asked for; ValueError for options that do not go together."""
        if model != "unified":
            if self != UnifiedOptions():
                raise ValueError(
                    "--classifier, --keypoints, --detector, --lifter and --causal are for "
                    "--model unified"
                )
            return False
        if self.keypoints is not None and inputs > 1:
            raise ValueError(
                f"--keypoints {self.keypoints} is of one picture or video, got {inputs}"
            )
        if box and (self.keypoints is not None or self.detector == "rtmlib"):
            raise ValueError("--box is for the search of our own network: leave it out")
        return True

    def pipeline(self, network: Callable[[], Predictor], device: str | None) -> Unified:
        """The pipeline, with what a user should know of it printed."""
        from poseact.inference.detector import FromFile, RTMLib
        from poseact.models.weights import load_lifter
        from poseact.skeletons.classifier_file import load_classifier
        from poseact.skeletons.keypoints import read_keypoints
        from poseact.skeletons.pipeline import Unified

        lifter = load_lifter(self.lifter).model
        classifier = None if self.classifier is None else load_classifier(self.classifier)
        if self.keypoints is not None:
            poses = FromFile(read_keypoints(self.keypoints, layout=self.keypoint_layout))
        elif self.detector == "rtmlib":
            poses = RTMLib(device=(device or "cpu").split(":")[0])
        else:
            poses = network()
        unified = Unified(poses, lifter, classifier, causal=self.causal)
        for note in unified.notes():
            print(note, flush=True)
        return unified
