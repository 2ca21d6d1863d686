"""What SQLite says, in the server's words."""

from __future__ import annotations

import sqlite3

from mimo_server.errors import StoreError

_CURES = {
    "SQLITE_FULL": "free space on the disk of the data folder, then try again",
    "SQLITE_IOERR": "look at the disk of the data folder and its limits, then try again",
    "SQLITE_BUSY": "another program holds the database; end it, then try again",
    "SQLITE_READONLY": "make the data folder writable, then try again",
    "SQLITE_CORRUPT": "stop the server and restore the data folder from a copy",
    "SQLITE_TOOBIG": "give less",
}


def failure(error: sqlite3.Error) -> StoreError:
    """What SQLite says, with what to do."""
    name = error.sqlite_errorname
    cure = next((cure for start, cure in _CURES.items() if name.startswith(start)), "look at the server's disk and log")
    return StoreError(f"the database could not do it, and nothing was changed ({error}, {name}): {cure}")
