"""A child with a plain child of its own, as a wrapper has, that ends at EOF without it. Argument: a readiness file."""

import os
import signal
import sys
from pathlib import Path

signal.alarm(60)
if os.fork() == 0:
    signal.alarm(60)
    Path(sys.argv[1]).touch()
    while True:
        signal.pause()
sys.stdin.read()
