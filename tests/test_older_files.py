"""Files of version 0.1.0 still serve: weights answer as they did, a run goes on where it stopped.

files/0.1.0 was made by that version: weights, a run stopped after 4 of its 10 steps, and what came
out then (answers.json): losses of the whole run, and what the network says of a ramp of grey.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from poseact.models import weights
from poseact.train import loop

FOLDER = Path(__file__).parent / "files" / "0.1.0"
ANSWERS = json.loads((FOLDER / "answers.json").read_text())


@torch.no_grad()
def test_weights_answer_as_they_did() -> None:
    model, card = weights.load(FOLDER / "network.safetensors")
    assert card.labels == (("walk", "wave"),) and card.provenance["poseact"] == "0.1.0"
    out = model(torch.linspace(-1, 1, 4 * 3 * 64 * 64).reshape(1, 4, 3, 64, 64))
    torch.testing.assert_close(out.poses[-1][0, 0].tolist(), ANSWERS["pose"], atol=1e-5, rtol=0)
    torch.testing.assert_close(out.scores[-1][0, 0].tolist(), ANSWERS["score"], atol=1e-5, rtol=0)
    action = out.actions[-1][-1].softmax(-1)[0].tolist()
    torch.testing.assert_close(action, ANSWERS["action"], atol=1e-4, rtol=0)


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Through the end of the stage it stopped in, and the next one."""
    run = tmp_path / "run"
    shutil.copytree(FOLDER / "run", run)
    config = loop.from_json((run / "config.json").read_text())
    path = loop.fit(config, run, resume=True, workers=1)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 11))
    assert [line["total"] for line in lines] == pytest.approx(ANSWERS["total"], rel=1e-3)
    weights.load(path)
