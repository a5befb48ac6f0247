"""A stand-in for Slurm on this machine: sbatch starts the jobs of an array at once, and sacct knows nothing.

As the real one, sbatch keeps the script, because submitit moves the file as soon as sbatch has returned.
"""

from pathlib import Path

COMMANDS = {
    "sbatch": r"""
script=$(cat "${@: -1}"); job=4711
range=$(grep -oP '#SBATCH --array=\K[0-9]+-[0-9]+' <<< "$script")
for index in $(seq ${range%-*} ${range#*-}); do
  SLURM_JOB_ID=$((job + index)) SLURM_ARRAY_JOB_ID=$job SLURM_ARRAY_TASK_ID=$index SLURM_JOB_NUM_NODES=1 \
    SLURM_JOB_NODELIST=localhost bash -c "$script" > /dev/null 2>&1 &
done
echo "Submitted batch job $job"
""",
    "srun": r"""
while [[ "$1" == --* ]]; do [[ "$1" == --unbuffered ]] && shift || shift 2; done
export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_STEP_ID=0 SLURM_NTASKS=1
exec "$@"
""",
    "sacct": 'echo "JobID|State|NodeList"',
    "scancel": "exit 0",
}


def write_slurm(folder: Path) -> Path:
    """Write the commands into a new folder, for PATH."""
    folder.mkdir()
    for name, text in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}")
        (folder / name).chmod(0o755)
    return folder
