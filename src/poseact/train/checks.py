"""Checks on held-out data while a network learns; several processes share them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from poseact.core.layouts import layout_named
from poseact.core.types import Record
from poseact.data.dataset import Batches, Part, loader
from poseact.evaluate import metrics
from poseact.evaluate.views import Predictions, pose_scores, predict_records
from poseact.models.weights import Card, Network
from poseact.train.config import Stage
from poseact.train.objective import Objective
from poseact.train.processes import gather


@torch.no_grad()
def held_out_loss(
    objective: Objective, batches: Batches, stage: Stage, fabric: Any, *, workers: int = 0
) -> float:
    """Mean loss of the first `stage.validation_batches` batches, of a network in eval mode."""
    rank, count, world = fabric.global_rank, stage.validation_batches, fabric.world_size
    found: list[Tensor] = []
    with fabric.autocast():
        for batch in loader(batches, rank, count, every=world, workers=workers):
            found.append(objective(fabric.to_device(batch), stage, 1.0)["total"].double().cpu())
    losses = torch.stack(found) if found else torch.zeros(0, dtype=torch.float64)
    return float(gather(fabric, losses).mean())


def held_out_score(
    model: Network, card: Card, parts: Sequence[Part], stage: Stage, fabric: Any
) -> float:
    """Mean over the parts of `stage.metric`, by `evaluate`'s protocol, of the last block.

    model: in eval mode. Of each part as many records count as `stage.validation_batches` batches
    have samples, spread over it. ValueError names a part whose labels do not tell the metric.
    """
    found = []
    for part in parts:
        records = spread(part.records, stage.validation_batches * part.count)
        scores = score_records(model, replace(card, margin=part.margin), records, fabric)
        if stage.metric not in scores:
            raise ValueError(
                f"stage {stage.name}: validation part {part.name} has no {stage.metric}, "
                f"it can be checked by loss, {', '.join(scores)}"
            )
        found.append(scores[stage.metric])
    return float(np.mean(found))


def score_records(
    model: Network, card: Card, records: Sequence[Record], fabric: Any
) -> dict[str, float]:
    """Every score that `evaluate` knows for these records, of the last block.

    Process `rank` of `world` scores records rank, rank + world, ...; its predictions of each frame
    are gathered, so the scores are those of one process.
    """
    rank, world = fabric.global_rank, fabric.world_size
    mine = records[rank::world]
    classes = model.config.actions[0] if model.config.actions else 0
    uvd, to_image = torch.zeros(0, model.config.joints, model.config.dim), torch.zeros(0, 3, 3)
    rows, actions = torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, classes)
    truth = torch.zeros(0, dtype=torch.long)
    if mine:
        found = predict_records(model, card, mine)
        uvd, to_image = torch.from_numpy(found.uvd[-1]), torch.from_numpy(found.to_image)
        rows = torch.tensor([(r * world + rank, t) for r, t in found.rows])
        if len(found.truth):
            actions, truth = torch.from_numpy(found.actions[-1]), torch.from_numpy(found.truth)
    uvd, to_image, rows, actions, truth = (
        gather(fabric, values).numpy() for values in (uvd, to_image, rows, actions, truth)
    )
    pairs = [(int(r), int(t)) for r, t in rows]
    together = Predictions(uvd[None], to_image, pairs, actions[None], truth)
    scores, _ = pose_scores(uvd, together, records, layout_named(card.layout))
    if len(truth):
        scores["action_top1"] = 100 * metrics.top1(actions, truth).mean
    return scores


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """At most `count` records, evenly over all of them."""
    chosen = np.linspace(0, len(records) - 1, min(count, len(records)))
    return [records[int(i)] for i in chosen.round()]
