#!/usr/bin/env bash
# Ablation e. CVPR supplement, Table 1: 3D poses from little 3D data, alone and with 2D data.
# No data needed; docs/explanation/ablation.md says what is compared. Stop and repeat it as you like.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
python -m experiments.ablation e -o "${OUT:-runs/out/ablation}" --jobs 2 "$@"
