"""A child that leaves a daemon (double fork, own session) and ends at EOF. Argument: a file for its readiness."""

import os
import signal
import sys
from pathlib import Path

signal.alarm(60)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.alarm(60)
        Path(sys.argv[1]).touch()
        while True:
            signal.pause()
    os._exit(0)
os.wait()
sys.stdin.read()
