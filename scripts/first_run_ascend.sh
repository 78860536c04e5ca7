#!/usr/bin/env bash
# Goes through the checklist of docs/ascend.md ("First run") and writes one report to send back.
#   bash scripts/first_run_ascend.sh [REPORT]
# REPORT: default first_run_ascend.txt here; an older one is kept as REPORT.1, REPORT.2, ...
# PYTHON=/path/to/python with mindlong's requirements; default: the active one
# SECONDS_A_STEP=1800 is the time limit of a step; NPROC=8 processes of the step with several devices
# Every step has its time, exit code and the end of its output; what needs an NPU is marked "no NPU"
# where there is none. Nothing outside the report and a temporary folder is written.
set -uo pipefail
case "${1:-}" in
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPORT=$(realpath -m "${1:-first_run_ascend.txt}")
PY=${PYTHON:-$(command -v python3 || command -v python || true)}
case "$PY" in /*) ;; */*) PY=$PWD/$PY ;; esac
LIMIT=${SECONDS_A_STEP:-1800}
[ -n "$PY" ] || { echo "error: no Python found; name one: PYTHON=/path/to/python" >&2; exit 2; }
mkdir -p "$(dirname "$REPORT")" || exit 2
if [ -e "$REPORT" ]; then
  n=1
  while [ -e "$REPORT.$n" ]; do n=$((n + 1)); done
  mv "$REPORT" "$REPORT.$n"
fi
WORK=$(mktemp -d) || exit 2
trap 'rm -rf "$WORK"' EXIT
cd "$ROOT" || exit 2
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" GLOG_v="${GLOG_v:-3}"
NPU=
for device in /dev/davinci[0-9]*; do [ -e "$device" ] && NPU=yes; done
FAILED=0 NUMBER=0 SUMMARY=()

say() { echo "$*" | tee -a "$REPORT"; }
# step LINES TITLE COMMAND...: runs a step and records it, with the last LINES of its output.
step() {
  local lines=$1 title=$2 code began=$SECONDS
  shift 2
  NUMBER=$((NUMBER + 1))
  say "== $NUMBER. $title"
  say "\$ $*"
  timeout --kill-after=30 "$LIMIT" "$@" > "$WORK/output" 2>&1 < /dev/null
  code=$?
  tr '\r' '\n' < "$WORK/output" | tail -n "$lines" >> "$REPORT"
  local word="exit $code"
  { [ "$code" = 124 ] || [ "$((SECONDS - began))" -ge "$LIMIT" ]; } && word="exit $code, stopped after $LIMIT s"
  say "-- $word, $((SECONDS - began)) s"
  SUMMARY+=("$NUMBER. $title: $word")
  [ "$code" = 0 ] || FAILED=$((FAILED + 1))
  return $code
}
# npu LINES TITLE COMMAND...: the same for what needs an NPU.
npu() {
  if [ -n "$NPU" ]; then step "$@"; return; fi
  NUMBER=$((NUMBER + 1))
  say "== $NUMBER. $2"
  say "-- no NPU"
  SUMMARY+=("$NUMBER. $2: no NPU")
}
train() { echo "$PY" "$ROOT/train.py" --config configs/train/vdm_shapes.yaml train.preview_every=0 train.warmup=0 train.log_every=1 "$@"; }
chip() { "$PY" -c 'from mindlong.ops import device; device.setup("auto"); print(device.chip())' 2> /dev/null | tail -n 1; }

say "mindlong: first run, $(date -u +%Y-%m-%dT%H:%MZ), commit $(git rev-parse --short HEAD 2> /dev/null || echo unknown)"
step 60 "the machine" bash -c 'uname -a; lscpu | head -n 20; free -g; df -h . | tail -n 1; g++ --version | head -n 1; cmake --version | head -n 1; true'
step 60 "what is installed and what is missing" "$PY" tools/doctor.py
npu 60 "npu-smi" npu-smi info
npu 20 "CANN" bash -c 'cat "${ASCEND_TOOLKIT_HOME:-/usr/local/Ascend/ascend-toolkit/latest}"/version.cfg; env | grep -i "^ASCEND\|^HCCL\|^MS_"'
npu 20 "MindSpore on the NPU" "$PY" -c 'import mindspore; mindspore.set_device("Ascend"); mindspore.run_check()'
CHIP=cpu
[ -n "$NPU" ] && CHIP=$(chip)
say "chip: $CHIP"
SMALL=()
[ -n "$NPU" ] || SMALL=(data.frames=4 'data.size=[16,16]' train.batch_size=2)
STEPS=20
[ -n "$NPU" ] || STEPS=2
# shellcheck disable=SC2046
step 25 "training in float32" $(train run_dir="$WORK/fp32" train.steps=$STEPS "${SMALL[@]}")
step 25 "its losses" cat "$WORK/fp32/metrics.csv"
step 8 "losses of the shipped training" head -n 4 mindlong/weights/vdm_shapes/metrics.csv
# shellcheck disable=SC2046
step 25 "training in float16" $(train run_dir="$WORK/fp16" train.steps=$STEPS train.precision=fp16 "${SMALL[@]}")
if [ "$CHIP" = 910b ]; then
  # shellcheck disable=SC2046
  npu 25 "training in bfloat16" $(train run_dir="$WORK/bf16" train.steps=$STEPS train.precision=bf16)
  # shellcheck disable=SC2046
  npu 25 "float16 without the vendor's attention" $(train run_dir="$WORK/math" train.steps=$STEPS train.precision=fp16 attention.backend=math)
  npu 25 "both losses" bash -c "paste -d'|' '$WORK/fp16/metrics.csv' '$WORK/math/metrics.csv'"
elif [ "$CHIP" = 910a ]; then
  npu 40 "building the 910A's operators" "$PY" -m mindlong.ops.ascendc.build --install "$WORK/opp"
  ASCEND_CUSTOM_OPP_PATH=$(find "$WORK/opp" -maxdepth 3 -type d -name customize 2> /dev/null | head -n 1)
  export ASCEND_CUSTOM_OPP_PATH
  npu 40 "verifying them" "$PY" -m mindlong.ops.ascendc.verify
  # shellcheck disable=SC2046
  npu 25 "float16 with them" $(train run_dir="$WORK/own" train.steps=$STEPS train.precision=fp16 env.jit_level=O0)
else
  npu 25 "the chip's own attention"
fi
npu 40 "several devices" env NPROC="${NPROC:-8}" bash scripts/run_train_distributed.sh configs/train/vdm_shapes.yaml run_dir="$WORK/many" train.batch_size=64 train.steps=$STEPS train.warmup=0 train.preview_every=0
step 25 "a video from shipped weights" "$PY" infer.py --config configs/infer/quickstart.yaml output="$WORK/video" sample.steps=2 count=1
say ""
say "== summary"
for line in "${SUMMARY[@]}"; do say "$line"; done
echo "the report is $REPORT; please send it back"
[ "$FAILED" = 0 ]
