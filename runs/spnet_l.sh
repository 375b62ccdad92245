#!/usr/bin/env bash
# The shipped weights spnet-l (poses): about two hours on 2 cores. Needs POSEACT_SHARED: its folder `data` holds what the card
# names (docs/reference/models/spnet-l.md). Stop it whenever you like: the same command goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/lspet}"
export OMP_WAIT_POLICY=PASSIVE
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=500000000
out=${1:-runs/out/spnet_l}
poseact train spnet_l -o "$out" --resume
python - "$out" <<'PYTHON'
import sys
from dataclasses import replace

from poseact.models import weights

model, card = weights.load(f"{sys.argv[1]}/weights.safetensors")
card = replace(card, believed=0.2, sure=0.9)  # as spnet-s
weights.save(f"{sys.argv[1]}/spnet-l.safetensors", model, card, half=True)
PYTHON
poseact eval --weights "$out/spnet-l.safetensors" --data people --split test --json
poseact eval --weights "$out/spnet-l.safetensors" --data lspet --root "$POSEACT_SHARED/data/lspet" --split val --json
python -m experiments.accuracy "$out/spnet-l.safetensors" spnet-s
