"""Between what a stem was and what it has become: weights that are a mean of both.

    python -m experiments.blend_stem RUN/weights.safetensors STEM.npz OUT.safetensors 0.4 2.0

A network that was fine-tuned on little data keeps more of what its stem knew if the stem goes part
of the way back (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). The first
number is that part; the second is the alpha with which heat maps become probabilities, sharper than
in training. Both were chosen on validation photos (docs/explanation/log). Action heads are left
out: they are trained afterwards, on what the blended network says.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace

from poseact.core.layouts import layout_named
from poseact.models import weights
from poseact.models.spnet import SPNet
from poseact.models.stems import load_stem
from poseact.train.optim import PRETRAINED


def main(source: str, stem: str, out: str, back: float, alpha: float) -> None:
    model, card = weights.load(source)
    assert isinstance(model, SPNet), f"{source} is no SPNet"
    config = replace(model.config, alpha=alpha, actions=(), action_pyramids=())
    blended, learnt = SPNet(config), model.state_dict()
    load_stem(blended, stem, layout_named(card.layout))
    before = blended.state_dict()
    after = {
        name: learnt[name].lerp(value, back) if name.startswith(PRETRAINED) else learnt[name]
        for name, value in before.items()
    }
    blended.load_state_dict(after)
    weights.save(out, blended, replace(card, config=asdict(config), labels=()))


if __name__ == "__main__":
    source, stem, out, back, alpha = sys.argv[1:]
    main(source, stem, out, float(back), float(alpha))
