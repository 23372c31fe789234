"""The process of one job: `python -m core.background.job_worker FOLDER`, as `jobs.submit` starts it.

Waiting costs little: what is large is imported when the job's turn has come.
"""

import fcntl
import os
import sys
from pathlib import Path

NICENESS = 10


def main(folder: Path) -> int:
    """Wait until no other job of this artifact folder runs, then do this one; return the exit code."""
    with open(folder.parent / "turn", "ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        os.nice(NICENESS)
        from core.background import job_steps

        return job_steps.run(folder)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
