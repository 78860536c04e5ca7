#!/usr/bin/env bash
# Trains on several processes that share every batch (data parallel): on Ascend one a device (HCCL), else on the CPU.
#   bash scripts/run_train_distributed.sh CONFIG [key=value ...]
# NPROC=2            processes; default: the Ascend devices here, or 2 on a CPU; with msrun those of this machine
# LAUNCHER=mpirun    mpirun (Open MPI) or msrun (MindSpore's own); default: mpirun
# LOG_DIR=FOLDER     one log a process; default: mpirun shows the first on the screen, msrun writes to ./mindlong_logs
# MINDLONG_VENV=F    virtual environment; default: .venv in the checkout if it is there, else the active Python
# Ctrl-C and SIGTERM save and stop (exit code 130, 143); the same command goes on from there.
# HOSTS=a:8,b:8      mpirun: machines and the processes on each (or HOSTFILE=FILE, lines "a slots=8"); docs/several_machines.md
# NNODES=2 NODE_RANK=0 MASTER_ADDR=a   msrun: the same command on every machine, with its NODE_RANK; MASTER_PORT=8118
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
. "$ROOT/scripts/_launch.sh"

prepare train.py "$@"

# SIGUSR1 asks the ranks to save and stop, SIGUSR2 the same for Ctrl-C. mpirun hands these on to them; msrun would die of
# them, so its ranks are asked.
ASKED=
stop() {
  local signal=$1
  ASKED=$2
  if [ "$LAUNCHER" = mpirun ]; then kill "-$signal" "$CHILD" 2>/dev/null || true; return 0; fi
  for rank in $(ps -o pid= --ppid "$CHILD"); do
    case $(ps -o args= -p "$rank") in *train.py*) kill "-$signal" "$rank" 2>/dev/null || true ;; esac
  done
}

# msrun kills the other ranks when one ends with a code, and says 1 whatever it was: its ranks end with 0 where they
# stopped as they were asked, and leave the code in a file
if [ "$LAUNCHER" = msrun ]; then
  MINDLONG_STOP_CODE=$(mktemp)
  export MINDLONG_STOP_CODE
  trap 'rm -f "$MINDLONG_STOP_CODE"' EXIT
fi

setsid "${COMMAND[@]}" & # a session of its own: Ctrl-C is for this script, which passes it on as a request
CHILD=$!
trap 'stop USR2 130' INT
trap 'stop USR1 143' TERM
trap 'stop USR1 138' USR1
while :; do
  STATUS=0
  wait "$CHILD" || STATUS=$?
  kill -0 "$CHILD" 2>/dev/null || break # a signal to this script ends wait early
done
if [ "$STATUS" = 0 ] && [ -s "${MINDLONG_STOP_CODE:-/dev/null}" ]; then STATUS=$(cat "$MINDLONG_STOP_CODE"); fi
# what the ranks say of a request is their launcher's to pass on; the code is of the signal that came here
case "$STATUS" in 128 | 13? | 14?) STATUS=${ASKED:-$STATUS} ;; esac
exit "$STATUS"
