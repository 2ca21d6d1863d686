"""A child that ignores SIGTERM, leaves a daemon that does too, and closes its stdio. Argument: a readiness file."""

import os
import signal
import sys
from pathlib import Path

signal.alarm(60)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.alarm(60)
        Path(sys.argv[1]).touch()
        while True:
            signal.pause()
    os._exit(0)
os.wait()
for standard in (0, 1, 2):
    os.close(standard)
while True:
    signal.pause()
