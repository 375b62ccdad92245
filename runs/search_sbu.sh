#!/usr/bin/env bash
# ENAS on two-person interactions: SBU seen in two axes (84 sequences, folds that are not the
# official ones), each of five folds tested once; see docs/explanation/enas.md. Needs POSEACT_SHARED: its folder
# `data/skeletons` holds sbu_val2d.npz. Stop it whenever you like: the same command goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/skeletons}"
export OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
for fold in 1 2 3 4 5; do
  out=${OUT:-runs/out}/search_sbu_$fold
  resume=()
  if [[ -f $out/config.json ]]; then resume=(--resume); fi
  poseact search --data skeletons --root "$POSEACT_SHARED/data/skeletons/sbu_val2d.npz" \
    --fold "$fold" --validation "fold $((fold % 5 + 1))" --directed 0 1 \
    --random "${RANDOM_NETS:-2}" --controls published temporal --seeds "${SEEDS:-1}" \
    -o "$out" "${resume[@]}"
done
