"""leakcheck: finds resource leaks in long-running servers under load, and proves it."""

__version__ = "0.1.0"
