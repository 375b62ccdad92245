"""Who is who in rendered scenes: identities hold, and where nobody is nobody is followed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from poseact.core.geometry import overlaps
from poseact.inference.predictor import Predictor
from poseact.inference.tracking import assign, with_flesh
from poseact.people.crowd import CROWD, CrowdClip, render_crowd

FPS = 8.0


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(device="cpu", action_set=None)


def identities(predictor: Predictor, scene: CrowdClip) -> list[list[tuple[int, int]]]:
    """(person, track) pairs of every frame; person -1 where there is none."""
    session, pairs = predictor.session(), []
    for t, rgb in enumerate(scene.frames):
        people = session.push(rgb, t / FPS).people
        boxes = with_flesh(np.array([p.box for p in people]).reshape(-1, 4))
        truth = np.nan_to_num(scene.box[t])
        who = dict(assign(1 - overlaps(boxes, truth), limit=0.5))
        pairs.append([(who.get(n, -1), person.track) for n, person in enumerate(people)])
    return pairs


def test_people_who_cross_and_hide_each_other_keep_their_numbers(predictor: Predictor) -> None:
    config = replace(CROWD, height=216, width=384, frames=22, fps=FPS, split="test", preset="easy")
    scene = render_crowd(config, 3, people=(3, 3))
    assert scene.share.min() < 0.1  # somebody is hidden for a while
    pairs = identities(predictor, scene)
    tracks = {}
    for number in range(3):
        seen = scene.share[:, number] > 0.5
        followed = Counter(t for frame in pairs for who, t in frame if who == number)
        track, times = followed.most_common(1)[0]
        assert followed.total() >= 0.85 * seen.sum()
        assert times >= 0.95 * followed.total()
        tracks[number] = track
    assert len(set(tracks.values())) == 3
    strangers = sum(who < 0 for frame in pairs for who, _ in frame)
    assert strangers <= 3  # of 66


def test_where_nobody_is_nobody_is_followed(predictor: Predictor) -> None:
    config = replace(CROWD, height=216, width=384, frames=6, fps=FPS, split="test")
    for index in range(2):
        scene = render_crowd(config, index, people=(0, 0))
        assert identities(predictor, scene) == [[]] * 6
