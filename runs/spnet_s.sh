#!/usr/bin/env bash
# The shipped weights spnet-s: about three hours on 2 cores, one pass of the recipe `spnet_s`.
# Needs POSEACT_SHARED: its folder `data` holds lspet, mocap, backgrounds and bodies (see the card,
# docs/reference/models/spnet-s.md). Stop it whenever you like: the same command goes on from the checkpoint.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/lspet}"
export OMP_WAIT_POLICY=PASSIVE
out=${1:-runs/out/spnet_s}
poseact train spnet_s -o "$out" --resume
python - "$out" <<'PYTHON'
import sys
from poseact import weights

model, card = weights.load(f"{sys.argv[1]}/weights.safetensors")
weights.save(f"{sys.argv[1]}/spnet-s.safetensors", model, card, half=True)
PYTHON
poseact eval --weights "$out/spnet-s.safetensors" --data people --split test --json
poseact eval --weights "$out/spnet-s.safetensors" --data lspet --root "$POSEACT_SHARED/data/lspet" --split val --json
