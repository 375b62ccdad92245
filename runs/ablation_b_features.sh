#!/usr/bin/env bash
# Ablation b. TPAMI Table 5: what the action heads see.
# No data needed; docs/explanation/ablation.md says what is compared. Stop and repeat it as you like.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
python -m experiments.ablation b -o "${OUT:-runs/out/ablation}" --jobs 2 "$@"
