"""A frame's people as other libraries' types: supervision, and the arguments of FiftyOne's labels.

Neither is needed to import this; supervision is imported when it is asked for.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from poseact.core.layouts import Layout
from poseact.core.types import Person, Result

if TYPE_CHECKING:
    from supervision import Detections, KeyPoints  # pyright: ignore[reportMissingImports]


def to_supervision(result: Result) -> tuple[KeyPoints, Detections]:
    """People as `sv.KeyPoints` and `sv.Detections`, in one order; unknown joints are 0, 0.

    Detections have `tracker_id` (our tracks), `confidence` (the mean score) and, where there are
    actions, `data["class_name"]`, the likeliest. `edges` gives what `sv.EdgeAnnotator` draws.
    ImportError says how to install it.
    """
    try:
        import supervision as sv  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError("supervision is not installed: pip install supervision") from error
    people = result.people
    count = len(people)
    joints = len(people[0].layout) if people else 0
    xy = np.nan_to_num(np.array([p.xy for p in people], np.float32).reshape(count, joints, 2))
    score = np.array([p.score for p in people], np.float32).reshape(count, joints)
    # Versions before 0.28 call it confidence.
    named = "keypoint_confidence" in inspect.signature(sv.KeyPoints).parameters
    scores: dict[str, Any] = {"keypoint_confidence" if named else "confidence": score}
    labels = [_label(result, person)[0] for person in people]
    detections = sv.Detections(
        xyxy=np.array([p.box for p in people], np.float32).reshape(count, 4),
        confidence=score.mean(1) if joints else np.zeros(0, np.float32),
        class_id=np.zeros(count, int),
        tracker_id=np.array([p.track for p in people], int),
        data={"class_name": np.array(labels, object)} if labels else {},
    )
    return sv.KeyPoints(xy=xy, class_id=np.zeros(count, int), **scores), detections


def edges(layout: Layout) -> list[tuple[int, int]]:
    """The bones as `sv.EdgeAnnotator` counts joints: from 1."""
    return [(parent + 1, joint + 1) for parent, joint in layout.edges]


def to_fiftyone(result: Result, size: tuple[int, int]) -> dict[str, list[dict[str, Any]]]:
    """People as arguments of `fo.Keypoint` and `fo.Detection`, in shares of (width, height) px.

    >>> labels = to_fiftyone(result, (1280, 720))                        # doctest: +SKIP
    >>> sample["poses"] = fo.Keypoints(                                  # doctest: +SKIP
    ...     keypoints=[fo.Keypoint(**k) for k in labels["keypoints"]]
    ... )
    """
    scale = np.array(size, float)
    found: dict[str, list[dict[str, Any]]] = {"keypoints": [], "detections": []}
    for person in result.people:
        label, sure = _label(result, person)
        shared = {"label": label, "index": int(person.track)}
        low, high = person.box[:2] / scale, person.box[2:] / scale
        found["keypoints"].append(
            {
                **shared,
                "points": [(float(x), float(y)) for x, y in person.xy / scale],
                "confidence": [float(score) for score in person.score],
            }
        )
        found["detections"].append(
            {
                **shared,
                "bounding_box": [float(v) for v in (*low, *(high - low))],
                "confidence": sure,
            }
        )
    return found


def _label(result: Result, person: Person) -> tuple[str, float]:
    """The likeliest action, else a person; and how sure that is."""
    return result.best(person) or ("person", float(person.score.mean()))
