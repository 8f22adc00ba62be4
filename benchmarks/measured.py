"""Run a command and write what it took: ``python -I -S measured.py OUT.json COMMAND...``.

A process of its own, and a small one: the system counts the memory of a process from before it
becomes another program, so that a large one cannot measure the peak of a small one.
"""

import json
import os
import sys
import time


def main() -> int:
    out, *command = sys.argv[1:]
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    wall = time.perf_counter() - start
    with open(f"/proc/{process}/io") as file:  # it is gone after the next line
        read = int(file.read().split("rchar:")[1].split()[0])
    _, status, usage = os.wait4(process, 0)
    took = {
        "wall_s": wall,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "read_bytes": read,
    }
    with open(out, "w") as file:
        json.dump(took, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
