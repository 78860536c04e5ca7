# Sourced by run_train_distributed.sh and run_infer_distributed.sh: turns NPROC, LAUNCHER, LOG_DIR and MINDLONG_VENV into
# COMMAND, which starts PROGRAM on several processes. Needs ROOT, usage and the arguments of the script.
fail() { echo "error: $2" >&2; exit "$1"; }

devices() {  # /dev/davinci0 and so on
  local found=(/dev/davinci[0-9]*)
  if [ -e "${found[0]}" ]; then echo "${#found[@]}"; else echo 0; fi
}

# prepare PROGRAM CONFIG [key=value ...]: sets COMMAND, LAUNCHER and NPROC
prepare() {
  local program=$1
  shift
  case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    "") usage >&2; fail 2 "no CONFIG given" ;;
  esac
  CONFIG=$1
  shift
  [ -f "$CONFIG" ] || fail 2 "no configuration file at $CONFIG"
  VENV=${MINDLONG_VENV:-$ROOT/.venv}
  if [ -x "$VENV/bin/python" ]; then PY=$VENV/bin/python; else PY=$(command -v python || command -v python3) || fail 1 "no Python"; fi
  NPUS=$(devices)
  if [ -z "${NPROC:-}" ]; then NPROC=$([ "$NPUS" -gt 0 ] && echo "$NPUS" || echo 2); fi
  case "$NPROC" in *[!0-9]* | "" | 0) fail 2 "NPROC is '$NPROC'; it must be a whole number of processes" ;; esac
  LAUNCHER=${LAUNCHER:-mpirun}
  export GLOG_v=${GLOG_v:-3} PYTHONUNBUFFERED=1
  # Seconds that NPUs wait for one another (120 by default, then EI0006): a first compilation takes minutes, and not
  # the same on every process.
  export HCCL_CONNECT_TIMEOUT=${HCCL_CONNECT_TIMEOUT:-1800}
  RUN=("$PY" "$ROOT/$program" --config "$CONFIG" "$@")
  case "$LAUNCHER" in
    mpirun) with_mpirun ;;
    msrun) with_msrun ;;
    *) fail 2 "LAUNCHER is '$LAUNCHER'; it must be mpirun or msrun" ;;
  esac
}

with_mpirun() {
  command -v mpirun >/dev/null 2>&1 ||
    fail 1 "mpirun is not installed; install Open MPI (Debian, Ubuntu: apt-get install openmpi-bin) or set LAUNCHER=msrun"
  # --bind-to none: one core a rank would change MindSpore's last bits, and waste the others
  COMMAND=(mpirun -n "$NPROC" --oversubscribe --bind-to none)
  [ "$(id -u)" != 0 ] || COMMAND+=(--allow-run-as-root)
  [ -z "${LOG_DIR:-}" ] || COMMAND+=(--output-filename "$LOG_DIR")
  COMMAND+=("${RUN[@]}")
}

with_msrun() {
  local msrun port
  msrun=$(dirname "$PY")/msrun
  [ -x "$msrun" ] || msrun=$(command -v msrun) || fail 1 "msrun is not installed; it comes with MindSpore: pip install mindspore"
  LOG_DIR=${LOG_DIR:-mindlong_logs}
  export PATH=$(dirname "$PY"):$PATH # msrun starts whatever is called python
  port=$("$PY" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  COMMAND=("$msrun" --worker_num="$NPROC" --local_worker_num="$NPROC" --master_addr=127.0.0.1 --master_port="$port"
           --join=True --tail_worker_log=0 --log_dir="$LOG_DIR" "${RUN[@]:1}")
}
