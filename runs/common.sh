# Sourced by the scripts beside it: train a recipe of a published table, then score it.
# POSEACT_DATA: the folder with mpii, penn, h36m, ntu. DEVICE: cpu by default, or cuda.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${POSEACT_DATA:?set it to the folder that holds mpii, penn, h36m and ntu}"
export OMP_WAIT_POLICY=PASSIVE

# train RECIPE [--setting value ...]: goes on from its checkpoint, at once if it is done
train() { poseact train "$1" -o "runs/out/$1" --resume "${@:2}"; }

# score RECIPE KIND PROTOCOL [--option value ...]: one line of JSON
score() {
  poseact eval --weights "runs/out/$1/weights.safetensors" --data "$2" --root "$POSEACT_DATA/$2" \
    --protocol "$3" --device "${DEVICE:-cpu}" --json "${@:4}"
}
