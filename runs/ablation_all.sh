#!/usr/bin/env bash
# All ablations, with docs/explanation/ablation.md filled in at the end.
# No data needed. Stop and repeat it as you like; add --list to see what is left.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
python -m experiments.ablation -o "${OUT:-runs/out/ablation}" --jobs 2 --write docs/explanation/ablation.md "$@"
