#!/usr/bin/env bash
# A lifter for `poseact lift --weights`: about a quarter of an hour on 2 cores, recipe `mocap`.
# Needs POSEACT_SHARED: its folder data/mocap holds cmu17.npz, hdm05_17.npz and mit17.npz. Stop it
# whenever you like: the same command goes on from the checkpoint. It ends with the table of errors.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/mocap}"
export OMP_WAIT_POLICY=PASSIVE
out=${1:-runs/out/lifter}
python -m poseact.lifting mocap --root "$POSEACT_SHARED/data/mocap" -o "$out" --resume
python - "$out" <<'PYTHON'
import sys
from poseact import weights

model, card = weights.load_lifter(f"{sys.argv[1]}/weights.safetensors")
weights.save(f"{sys.argv[1]}/lifter.safetensors", model, card, half=True)
PYTHON
