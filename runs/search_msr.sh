#!/usr/bin/env bash
# ENAS on MSR Action3D AS1, beside its controls; see docs/enas.md.
# Needs POSEACT_SHARED: its folder `data/skeletons` holds msr_action3d.npz.
# About a quarter of an hour on one core, most of it DenseNet-40. Stop it whenever you like: the same
# command goes on. Another subset: runs/search_msr.sh AS2
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_SHARED:?set it to the folder that holds data/skeletons}"
export OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
subset=${1:-AS1}
out=${2:-runs/out/search_$subset}
resume=()
if [[ -f $out/config.json ]]; then resume=(--resume); fi
poseact search --data msr3d --root "$POSEACT_SHARED/data/skeletons/msr_action3d.npz" \
  --subset "$subset" --preset small --random 5 --controls --seeds 3 -o "$out" "${resume[@]}"
