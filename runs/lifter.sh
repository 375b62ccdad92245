#!/usr/bin/env bash
# The shipped lifter (docs/reference/models/lifter.md): about a quarter of an hour on one core, recipe `mocap`.
# Needs POSEACT_SHARED: its folder data/mocap holds cmu17.npz, hdm05_17.npz and mit17.npz. Stop it
# whenever you like: the same command goes on from the checkpoint. It ends with the table of errors.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/mocap}"
export OMP_WAIT_POLICY=PASSIVE
out=${1:-runs/out/lifter}
poseact train lifter mocap --root "$POSEACT_SHARED/data/mocap" -o "$out" --resume
python - "$out" <<'PYTHON'
import dataclasses, sys
from poseact.models import weights

model, card = weights.load_lifter(f"{sys.argv[1]}/weights.safetensors")
seen = {
    "data": "motion capture of CMU (mocap.cs.cmu.edu, NSF EIA-0196217), HDM05 (CC BY-SA 3.0) and a "
    "small MIT-licensed set, seen by random cameras; a simulated detector",
    "held out": "people: cmu 02, hdm05 mm (validation); cmu 14, hdm05 tr (test)",
}
card = dataclasses.replace(card, provenance=card.provenance | seen)
weights.save(f"{sys.argv[1]}/lifter.safetensors", model, card, half=True)
PYTHON
