"""A child that neither EOF nor SIGTERM ends. Argument: a file to create once it is ready."""

import signal
import sys
from pathlib import Path

signal.alarm(60)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(sys.argv[1]).touch()
while True:
    signal.pause()
