#!/usr/bin/env bash
# Makes one long video on several processes (pipeline=clip_parallel): on Ascend one a device (HCCL), else on the CPU.
#   bash scripts/run_infer_distributed.sh CONFIG [key=value ...]
# NPROC=2            processes; default: the Ascend devices here, or 2 on a CPU
# LAUNCHER=mpirun    mpirun (Open MPI) or msrun (MindSpore's own); default: mpirun
# LOG_DIR=FOLDER     one log a process; default: mpirun shows the first on the screen, msrun writes to ./mindlong_logs
# MINDLONG_VENV=F    virtual environment; default: .venv in the checkout if it is there, else the active Python
# A run that was stopped goes on after its last saved step when the same command is given again, with any NPROC. One machine only.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

. "$ROOT/scripts/_launch.sh"

prepare infer.py "$@"
exec "${COMMAND[@]}"
