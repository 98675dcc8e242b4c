"""Run a command from a cold start and print, as JSON, its seconds and its peak memory in bytes.

A process of its own, and a small one: the system counts the memory of whoever starts a command as
the command's own until it runs.
"""

import json
import os
import subprocess
import sys
import time

if __name__ == "__main__":
    began = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024
    if status:
        sys.exit(os.waitstatus_to_exitcode(status) & 255)
    print(json.dumps([seconds, usage.ru_maxrss * unit]))
