#!/usr/bin/env bash
# The shipped weights spnet-s: about 90 minutes on 2 cores, one pass of the recipe `spnet_s`.
# Needs POSEACT_SHARED: its folder `data` holds lspet, mocap, backgrounds and bodies (see the card,
# docs/models/spnet-s.md). Stop it whenever you like: the same command goes on from the checkpoint.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/lspet}"
export OMP_WAIT_POLICY=PASSIVE
out=${1:-runs/out/spnet_s}
poseact train spnet_s -o "$out" --resume
poseact eval --weights "$out/weights.safetensors" --data people --split test --json
poseact eval --weights "$out/weights.safetensors" --data lspet --root "$POSEACT_SHARED/data/lspet" --split val --json
