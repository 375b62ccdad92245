#!/usr/bin/env bash
# ENAS on MSR Action3D (AS1, AS2, AS3, cross-subject) beside its controls; see docs/explanation/enas.md.
# Needs POSEACT_SHARED: its folder `data/skeletons` holds msr_action3d.npz.
# A quarter of an hour a subset on a core shared with other work, ten minutes with PRESET=small. Stop it
# whenever you like: the same command goes on. One subset: runs/search_msr.sh AS2. With DenseNet-40, which
# takes long: CONTROLS="published densenet temporal"
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/skeletons}"
export OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
read -ra controls <<<"${CONTROLS:-published temporal}"
for subset in ${1:-AS1 AS2 AS3}; do
  out=${OUT:-runs/out}/search_$subset
  resume=()
  if [[ -f $out/config.json ]]; then resume=(--resume); fi
  poseact search --data msr3d --root "$POSEACT_SHARED/data/skeletons/msr_action3d.npz" \
    --subset "$subset" --preset "${PRESET:-tall}" --random 5 --controls "${controls[@]}" --seeds "${SEEDS:-3}" \
    --control-seeds "${CONTROL_SEEDS:-3}" --paper-style-eval -o "$out" "${resume[@]}"
done
