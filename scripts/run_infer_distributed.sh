#!/usr/bin/env bash
# Makes videos on several processes, by any pipeline: on Ascend one a device (HCCL), else on the CPU. Videos of several
# prompts are dealt out; one long video is shared (clip_parallel, hierarchical, interpolate).
#   bash scripts/run_infer_distributed.sh CONFIG [key=value ...]
# NPROC=2            processes; default: the Ascend devices here, or 2 on a CPU; with msrun those of this machine
# LAUNCHER=mpirun    mpirun (Open MPI) or msrun (MindSpore's own); default: mpirun
# LOG_DIR=FOLDER     one log a process; default: mpirun shows the first on the screen, msrun writes to ./mindlong_logs
# MINDLONG_VENV=F    virtual environment; default: .venv in the checkout if it is there, else the active Python
# A run that was stopped goes on after its last saved step when the same command is given again, with any NPROC.
# HOSTS=a:8,b:8      mpirun: machines and the processes on each (or HOSTFILE=FILE, lines "a slots=8"); docs/several_machines.md
# NNODES=2 NODE_RANK=0 MASTER_ADDR=a   msrun: the same command on every machine, with its NODE_RANK; MASTER_PORT=8118
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() { sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

. "$ROOT/scripts/_launch.sh"

prepare infer.py "$@"
exec "${COMMAND[@]}"
