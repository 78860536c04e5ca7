# Sourced by run_train_distributed.sh and run_infer_distributed.sh: turns NPROC, LAUNCHER, LOG_DIR, MINDLONG_VENV and what
# names several machines (HOSTS or HOSTFILE for mpirun; NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT for msrun) into
# COMMAND, which starts PROGRAM on several processes. Needs ROOT, usage and the arguments of the script.
fail() { echo "error: $2" >&2; exit "$1"; }

devices() {  # /dev/davinci0 and so on
  local found=(/dev/davinci[0-9]*)
  if [ -e "${found[0]}" ]; then echo "${#found[@]}"; else echo 0; fi
}

whole() {  # whole NAME VALUE LEAST WHAT
  case "$2" in *[!0-9]* | "") fail 2 "$1 is '$2'; it must be a whole number of $4" ;; esac
  [ "$2" -ge "$3" ] || fail 2 "$1 is '$2'; it must be at least $3"
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
  case "$VENV" in /*) ;; *) VENV=$PWD/$VENV ;; esac
  if [ -x "$VENV/bin/python" ]; then PY=$VENV/bin/python; else PY=$(command -v python || command -v python3) || fail 1 "no Python"; fi
  LAUNCHER=${LAUNCHER:-mpirun}
  case "$LAUNCHER" in mpirun | msrun) ;; *) fail 2 "LAUNCHER is '$LAUNCHER'; it must be mpirun or msrun" ;; esac
  several_machines
  NPUS=$(devices)
  if [ -z "${NPROC:-}" ]; then NPROC=${SLOTS:-$([ "$NPUS" -gt 0 ] && echo "$NPUS" || echo 2)}; fi
  case "$NPROC" in *[!0-9]* | "" | 0) fail 2 "NPROC is '$NPROC'; it must be a whole number of processes" ;; esac
  export GLOG_v=${GLOG_v:-3} PYTHONUNBUFFERED=1
  # Seconds that NPUs wait for one another (120 by default, then EI0006): a first compilation takes minutes, and not
  # the same on every process.
  export HCCL_CONNECT_TIMEOUT=${HCCL_CONNECT_TIMEOUT:-1800}
  RUN=("$PY" "$ROOT/$program" --config "$CONFIG" "$@")
  "with_$LAUNCHER"
}

# Machines, by the words of the launcher: sets PLACES and SLOTS for mpirun, WORKERS for msrun.
several_machines() {
  PLACES=() SLOTS=
  if [ "$LAUNCHER" = msrun ]; then
    [ -z "${HOSTS:-}${HOSTFILE:-}" ] ||
      fail 2 "HOSTS and HOSTFILE are mpirun's; msrun is started on every machine with NNODES, NODE_RANK and MASTER_ADDR"
    NNODES=${NNODES:-1}
    whole NNODES "$NNODES" 1 machines
    [ "$NNODES" -gt 1 ] || return 0
    [ -n "${NODE_RANK:-}" ] || fail 2 "NODE_RANK is not set; it numbers the $NNODES machines from 0"
    whole NODE_RANK "$NODE_RANK" 0 machines
    [ "$NODE_RANK" -lt "$NNODES" ] || fail 2 "NODE_RANK is '$NODE_RANK'; of $NNODES machines the last is $((NNODES - 1))"
    [ -n "${MASTER_ADDR:-}" ] || fail 2 "MASTER_ADDR is not set; it is the address of the machine with NODE_RANK=0"
    MASTER_PORT=${MASTER_PORT:-8118}
    whole MASTER_PORT "$MASTER_PORT" 1024 "ports below 65535"
    [ "$MASTER_PORT" -lt 65535 ] || fail 2 "MASTER_PORT is '$MASTER_PORT'; it must be below 65535, the next port is used too"
    return 0
  fi
  [ "${NNODES:-1}" = 1 ] || fail 2 "NNODES is msrun's (LAUNCHER=msrun); mpirun takes HOSTS=a:8,b:8 or HOSTFILE=FILE"
  [ -z "${HOSTS:-}" ] || [ -z "${HOSTFILE:-}" ] || fail 2 "HOSTS and HOSTFILE are both set; give one of them"
  local rows first= host count total=0
  if [ -n "${HOSTS:-}" ]; then
    rows=${HOSTS//,/ }
    PLACES=(--host "$HOSTS")
  elif [ -n "${HOSTFILE:-}" ]; then
    [ -f "$HOSTFILE" ] || fail 2 "HOSTFILE: no file at $HOSTFILE"
    rows=$(sed -n 's/#.*//; s/^[[:space:]]*\([^[:space:]]\{1,\}\)[[:space:]]*$/\1:1/p; s/^[[:space:]]*\([^[:space:]]\{1,\}\)[[:space:]].*slots[[:space:]]*=[[:space:]]*\([0-9]\{1,\}\).*/\1:\2/p' "$HOSTFILE")
    [ -n "$rows" ] || fail 2 "HOSTFILE: $HOSTFILE names no machine; a line is NAME slots=PROCESSES"
    PLACES=(--hostfile "$HOSTFILE")
  else
    return 0
  fi
  for host in $rows; do
    count=1
    case "$host" in *:*) count=${host##*:} ;; esac
    case "$count" in *[!0-9]* | "" | 0) fail 2 "HOSTS: '$host' is not NAME:PROCESSES" ;; esac
    first=${first:-${host%:*}}
    total=$((total + count))
  done
  SLOTS=$total
  export MASTER_ADDR=${MASTER_ADDR:-$first} # process 0 is there, and MindSpore's scheduler
  # Seconds until mpirun notices a machine that is cut off; its own are 300 and 180
  export OMPI_MCA_oob_tcp_keepalive_time=${OMPI_MCA_oob_tcp_keepalive_time:-10}
  export OMPI_MCA_oob_tcp_keepalive_intvl=${OMPI_MCA_oob_tcp_keepalive_intvl:-5}
  export OMPI_MCA_oob_tcp_keepalive_probes=${OMPI_MCA_oob_tcp_keepalive_probes:-4}
}

with_mpirun() {
  command -v mpirun >/dev/null 2>&1 ||
    fail 1 "mpirun is not installed; install Open MPI (Debian, Ubuntu: apt-get install openmpi-bin) or set LAUNCHER=msrun"
  # --bind-to none: one core a rank would change MindSpore's last bits, and waste the others
  COMMAND=(mpirun -n "$NPROC" --bind-to none)
  [ "$(id -u)" != 0 ] || COMMAND+=(--allow-run-as-root)
  [ -z "${LOG_DIR:-}" ] || COMMAND+=(--output-filename "$LOG_DIR")
  if [ -z "$SLOTS" ]; then
    COMMAND+=(--oversubscribe)
  else
    [ "$NPROC" -le "$SLOTS" ] || fail 2 "NPROC is '$NPROC'; the machines have room for $SLOTS processes"
    COMMAND+=("${PLACES[@]}" --map-by slot)
    local name # other machines get of the environment what is named
    for name in $(compgen -e | grep -E '^(MS_|GLOG_|HCCL_|ASCEND_|OMP_|MINDLONG_|MASTER_|PYTHON|LD_LIBRARY_PATH$)'); do
      COMMAND+=(-x "$name")
    done
  fi
  COMMAND+=("${RUN[@]}")
}

with_msrun() {
  local msrun place
  msrun=$(dirname "$PY")/msrun
  [ -x "$msrun" ] || msrun=$(command -v msrun) || fail 1 "msrun is not installed; it comes with MindSpore: pip install mindspore"
  LOG_DIR=${LOG_DIR:-mindlong_logs}
  export PATH=$(dirname "$PY"):$PATH # msrun starts whatever is called python
  if [ "$NNODES" -gt 1 ]; then
    place=(--master_addr="$MASTER_ADDR" --master_port="$MASTER_PORT" --node_rank="$NODE_RANK" --tail_worker_log="$((NODE_RANK * NPROC))")
  else
    place=(--master_addr=127.0.0.1 --tail_worker_log=0
           --master_port="$("$PY" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')")
  fi
  COMMAND=("$msrun" --worker_num="$((NNODES * NPROC))" --local_worker_num="$NPROC" --join=True --log_dir="$LOG_DIR"
           "${place[@]}" "${RUN[@]:1}")
}
