#!/bin/sh
# Corolla on an NVIDIA GPU, beside timm: the train step of four backbones, its share of the roofline, and the seconds
# from process start to a macro F1 of 0.95.
#
#   sh bench/gpu.sh DATA OUT
#
# Needs no network. PYTHON (python3 by default) must have jax with CUDA, keras, keras-hub, torch, timm and torchvision,
# and what Corolla itself needs; Corolla is taken from this checkout. Writes OUT/side_by_side.json, OUT/table.md and
# OUT/cold_start.json; a step that fails is told at the end, and the others go on. About 20 minutes.
set -u
[ $# -eq 2 ] || { sed -n '2,11p' "$0" | cut -c3-; exit 2; }
ROOT=$(cd "$(dirname "$0")/.." && pwd)
DATA=$1
OUT=$2
PYTHON=${PYTHON:-python3}
mkdir -p "$OUT" || exit 2
export PYTHONPATH="$ROOT/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
failed=

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader || failed="$failed nvidia-smi"

for row in efficientnet_lite0 efficientnet_v2_s convnext_tiny vit_small; do
  "$PYTHON" "$ROOT/bench/compare.py" --gpu --here --data "$DATA" --rounds "${ROUNDS:-7}" --rows "GPU: train $row" \
    --json "$OUT/side_by_side.json" --page "$OUT/table.md" || failed="$failed $row"
done

"$PYTHON" "$ROOT/bench/cold_start.py" "$DATA" --target 0.95 --epochs 10 --batch-size 128 --learning-rate 1e-3 \
  > "$OUT/cold_start.json" || failed="$failed cold_start"

cat "$OUT/table.md" "$OUT/cold_start.json"
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
