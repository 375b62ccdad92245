#!/usr/bin/env bash
# Ablation f. The CVPR network and SPNet at equal multiply-adds.
# No data needed; docs/explanation/ablation.md says what is compared. Stop and repeat it as you like.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
python -m experiments.ablation f -o "${OUT:-runs/out/ablation}" --jobs 2 "$@"
