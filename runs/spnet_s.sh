#!/usr/bin/env bash
# The shipped weights spnet-s: some hours on 2 cores. Recipes `spnet_s`, `spnet_s_longer` (poses) and
# `spnet_s_actions` (heads). Needs POSEACT_SHARED: its folder `data` holds what the card names
# (docs/reference/models/spnet-s.md). Stop it whenever you like: the same command goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/lspet}"
export OMP_WAIT_POLICY=PASSIVE
# Memory that is given back to the system after every convolution is cleared again page by page.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=500000000
out=${1:-runs/out/spnet_s}
pose=runs/out/spnet_s_pose.safetensors
poseact train spnet_s -o "$out/pose" --resume
python -m experiments.blend_stem "$out/pose/weights.safetensors" \
  "$POSEACT_SHARED/data/pretrained/movenet_lightning.npz" "$pose" 0.4 2.0
poseact train spnet_s_longer -o "$out/longer" --resume
pose=runs/out/spnet_s_longer.safetensors
cp "$out/longer/weights.safetensors" "$pose"
[ -f runs/clip_boxes.csv ] || # where the person is in the real clips
  python -m experiments.clip_boxes "$pose" "$POSEACT_SHARED/data/clips" runs/clip_boxes.csv
python -m experiments.action_heads "$pose" "$out/actions.safetensors" --cache "$out/features"
python -m experiments.calibrate_actions "$out/actions.safetensors" "$out/calibrated.safetensors"
python - "$out" <<'PYTHON'
import sys
from dataclasses import replace

from poseact.models import weights

model, card = weights.load(f"{sys.argv[1]}/calibrated.safetensors")
# Mean scores of validation people and of views without people lie on both sides (docs/explanation/log).
card = replace(card, believed=0.2, sure=0.9)
weights.save(f"{sys.argv[1]}/spnet-s.safetensors", model, card, half=True)
PYTHON
poseact eval --weights "$out/spnet-s.safetensors" --data people --split test --json
poseact eval --weights "$out/spnet-s.safetensors" --data lspet --root "$POSEACT_SHARED/data/lspet" --split val --json
