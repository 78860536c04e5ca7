#!/usr/bin/env bash
# Trains on several processes that share every batch (data parallel): on Ascend one a device (HCCL), else on the CPU.
#   bash scripts/run_train_distributed.sh CONFIG [key=value ...]
# NPROC=2            processes; default: the Ascend devices here, or 2 on a CPU
# LAUNCHER=mpirun    mpirun (Open MPI) or msrun (MindSpore's own); default: mpirun
# LOG_DIR=FOLDER     one log a process; default: mpirun shows the first on the screen, msrun writes to ./mindlong_logs
# MINDLONG_VENV=F    virtual environment; default: .venv in the checkout if it is there, else the active Python
# Ctrl-C and SIGTERM save and stop; the same command goes on from there.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
. "$ROOT/scripts/_launch.sh"

prepare train.py "$@"

# SIGUSR1 asks the ranks to save and stop. mpirun hands it on to them; msrun would die of it, so its ranks are asked.
stop() {
  if [ "$LAUNCHER" = mpirun ]; then kill -USR1 "$CHILD" 2>/dev/null || true; return 0; fi
  for rank in $(ps -o pid= --ppid "$CHILD"); do
    case $(ps -o args= -p "$rank") in *train.py*) kill -USR1 "$rank" 2>/dev/null || true ;; esac
  done
}

setsid "${COMMAND[@]}" & # a session of its own: Ctrl-C is for this script, which passes it on as a request
CHILD=$!
trap stop INT TERM USR1
while :; do
  STATUS=0
  wait "$CHILD" || STATUS=$?
  kill -0 "$CHILD" 2>/dev/null || break # a signal to this script ends wait early
done
exit "$STATUS"
