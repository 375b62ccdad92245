"""People as other libraries have them."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from poseact.core.layouts import PA17
from poseact.core.types import Result
from poseact.results.neighbours import edges, to_fiftyone, to_supervision
from small_results import LABELS, person

RESULT = Result(3, 0.1, (person(0), replace(person(1, track=4), action=None)), LABELS)


def test_supervision_has_the_same_people() -> None:
    sv = pytest.importorskip("supervision")
    points, detections = to_supervision(RESULT)
    assert isinstance(points, sv.KeyPoints) and len(points) == len(detections) == 2
    np.testing.assert_allclose(points.xy, np.nan_to_num([p.xy for p in RESULT.people]), rtol=1e-6)
    assert detections.tracker_id.tolist() == [0, 4]
    assert detections.data["class_name"][1] == "person"
    rgb = np.zeros((480, 640, 3), np.uint8)
    assert sv.EdgeAnnotator(edges=edges(PA17)).annotate(rgb.copy(), points).any()
    assert [len(x) for x in to_supervision(Result(0, 0.0, ()))] == [0, 0]


def test_without_supervision_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        to_supervision(RESULT)


def test_fiftyone_has_shares_of_the_picture() -> None:
    labels = to_fiftyone(RESULT, (640, 480))
    assert [k["index"] for k in labels["keypoints"]] == [0, 4]
    first, second = labels["keypoints"][0], labels["detections"][1]
    np.testing.assert_allclose(np.array(first["points"]) * (640, 480), RESULT.people[0].xy)
    x, y, w, h = second["bounding_box"]
    box = np.array([x, y, x + w, y + h]) * (640, 480, 640, 480)
    np.testing.assert_allclose(box, RESULT.people[1].box)
    assert first["label"] in LABELS and second["label"] == "person"


def test_edges_count_from_one() -> None:
    assert min(min(pair) for pair in edges(PA17)) == 1
    assert max(max(pair) for pair in edges(PA17)) == len(PA17)
