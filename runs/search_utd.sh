#!/usr/bin/env bash
# ENAS on UTD-MHAD (27 actions; subjects 1 3 5 7 learn, 2 4 6 8 test) beside its controls; see
# docs/explanation/enas.md. Needs POSEACT_SHARED: its folder `data/skeletons` holds utd_mhad.npz.
# Stop it whenever you like: the same command goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/skeletons}"
export OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
out=${OUT:-runs/out}/search_utd
resume=()
if [[ -f $out/config.json ]]; then resume=(--resume); fi
poseact search --data skeletons --root "$POSEACT_SHARED/data/skeletons/utd_mhad.npz" \
  --validation 7 --fps 30 --random "${RANDOM_NETS:-5}" --controls published temporal \
  --seeds "${SEEDS:-3}" --control-seeds "${CONTROL_SEEDS:-3}" -o "$out" "${resume[@]}"
