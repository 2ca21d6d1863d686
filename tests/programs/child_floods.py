"""A child that writes without end and so blocks on a full pipe. Argument: a file to create once it is ready."""

import os
import signal
import sys
from pathlib import Path

signal.alarm(60)
Path(sys.argv[1]).touch()
while True:
    os.write(1, b"x" * 65536 + b"\n")
