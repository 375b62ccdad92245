import json
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact import data
from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.data.dataset import clip_indices, make_sample
from poseact.evaluate import metrics, views
from poseact.models import weights
from poseact.models.spnet import SPNet
from poseact.people.scene import PeopleConfig

PEOPLE = PeopleConfig(
    frames=4, height=64, width=64, supersample=1, actions=("idle", "walk", "run", "jump")
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEACT_CACHE", str(tmp_path_factory.mktemp("pool")))
        return data.load("people", split="test", people=PEOPLE, clips=4)


def truth(records: list[Record], card: weights.Card) -> views.Predictions:
    """What a perfect network would say."""
    samples = [
        make_sample(r, PA17, size=card.size, frames=clip_indices(len(r), len(r))) for r in records
    ]
    uvd = np.concatenate([s["pose"].numpy() for s in samples])
    return views.Predictions(
        uvd=np.stack([uvd, uvd + [0.01, 0, 0]]),
        to_image=np.concatenate([s["to_image"].numpy() for s in samples]),
        rows=[(i, t) for i, r in enumerate(records) for t in range(len(r))],
        actions=np.stack([np.eye(4)[[r.action for r in records]], np.ones((len(records), 4))]),
        truth=np.array([r.action for r in records]),
    )


def test_the_truth_scores_full_marks(
    records: list[Record], tiny: SPNet, tiny_card: weights.Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "predict_records", lambda *_, **__: truth(records, tiny_card))
    report = views.evaluate(tiny, tiny_card, records)
    first, last = (block.scores for block in report.blocks)
    assert first["pck_torso_0.2"] == first["pckh_0.5"] == first["pck3d_150"] == 100
    assert first["mpjpe_mm"] == pytest.approx(0, abs=0.5)  # float32 of uv
    assert first["action_top1"] == 100
    # a shift of all joints by 1 % of the crop goes away with the root, all but perspective
    assert 0 < last["mpjpe_mm"] < 20
    assert (report.n, report.clips, report.left_out) == (16, 4, 0)


def test_scores_are_those_of_the_predictions(
    records: list[Record], tiny: SPNet, tiny_card: weights.Card
) -> None:
    """The table against a computation of its own, from the network's output."""
    report = views.evaluate(tiny, tiny_card, records, name="people", split="test")
    hits = count = 0
    for record in records:
        sample = make_sample(
            record, PA17, size=tiny_card.size, frames=[0, 1, 2, 3], margin=tiny_card.margin
        )
        with torch.no_grad():
            uv = tiny(sample["frames"][None]).poses[-1][0, :, :, :2].numpy()
        m = sample["to_image"].numpy()
        xy = uv @ m[0, :2, :2].T + m[0, :2, 2]
        shoulder, hip = PA17.index("l_shoulder"), PA17.index("r_hip")
        torso = np.linalg.norm(record.xy[:, shoulder] - record.xy[:, hip], axis=-1)
        hits += (np.linalg.norm(xy - record.xy, axis=-1) <= 0.2 * torso[:, None]).sum()
        count += xy.shape[0] * xy.shape[1]
    assert report.blocks[-1].scores["pck_torso_0.2"] == pytest.approx(100 * hits / count)


def test_json_has_the_last_block_on_top(
    records: list[Record], tiny: SPNet, tiny_card: weights.Card
) -> None:
    line = views.evaluate(tiny, tiny_card, records, name="people", split="test").to_json()
    assert "\n" not in line
    report = json.loads(line)
    assert [(b["pyramid"], b["level"]) for b in report["blocks"]] == [(1, 1), (2, 0)]
    for key in ("pck_torso_0.2", "pckh_0.5", "mpjpe_mm", "action_top1"):
        assert report[key] == report["blocks"][-1][key]
    assert report["n"] == 16
    assert report["blocks"][0]["multiply_adds"] < report["blocks"][1]["multiply_adds"]


def test_averaged_crops_score_the_last_block(
    records: list[Record], tiny: SPNet, tiny_card: weights.Card
) -> None:
    """One view asked for by name gives what the single crop gives; more views something else."""
    single = views.evaluate(tiny, tiny_card, records).blocks[-1].scores
    once = views.predict_views(tiny, tiny_card, records, views.VIEWS["single"])
    whole = views.predict_records(tiny, tiny_card, records)
    m = whole.to_image
    xy = whole.uvd[-1, ..., :2] @ m[:, :2, :2].swapaxes(1, 2) + m[:, None, :2, 2]
    assert once.uvd[0, ..., :2] == pytest.approx(xy, abs=0.02)
    assert once.rows == whole.rows and np.array_equal(once.truth, whole.truth)
    report = views.evaluate(tiny, tiny_card, records, views="flip")
    assert [(b.pyramid, b.level) for b in report.blocks] == [(2, 0)]
    assert set(report.blocks[0].scores) == set(single)
    assert report.blocks[0].scores["mpjpe_mm"] != single["mpjpe_mm"]


def test_photos_without_3d_are_scored_in_2d(
    tiny: SPNet, tiny_card: weights.Card, shared_data: Path
) -> None:
    records = data.load("lspet", shared_data / "lspet", split="val")[:6]
    report = views.evaluate(tiny, tiny_card, records)
    assert set(report.blocks[-1].scores) == {"pck_torso_0.2"}
    assert report.n == 6 and report.clips == 0


def test_left_out_people_are_counted(
    tiny: SPNet, tiny_card: weights.Card, records: list[Record]
) -> None:
    record = records[0]
    xy = record.xy.copy()
    xy[0, [PA17.index("l_hip"), PA17.index("r_hip")]] = np.nan
    blind = Record(record.frame, xy, record.layout, box=record.box)
    report = views.evaluate(tiny, tiny_card, [blind])
    assert report.left_out == 1
    assert metrics.pck_torso(xy, xy, PA17).left_out == 1
