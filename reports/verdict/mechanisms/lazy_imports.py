"""Features import what they need when they are first used, and some are first used late."""

from __future__ import annotations

import importlib
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "lazy"
REQUESTS = ("GET /feature?n={n}", "GET /health?n={n}")
OPERATION = None

FEATURES = """
    ast bdb bz2 calendar cmd code codeop colorsys configparser csv datetime decimal difflib dis doctest
    email.mime.text email.mime.multipart email.parser filecmp fileinput fractions ftplib getopt gettext graphlib
    gzip html.parser http.client http.cookiejar http.cookies http.server imaplib ipaddress lzma mailbox mimetypes
    modulefinder netrc optparse pdb pickletools plistlib poplib pprint profile pydoc quopri sched shelve smtplib
    sqlite3 statistics tarfile timeit tomllib trace unittest.mock urllib.request uuid wave wsgiref.simple_server
    xml.dom.minidom xml.sax xmlrpc.client zipapp zipfile
"""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: a feature is used for the first time every 10 to 800 requests, until all are loaded."""
    return {
        **hosts.ordinary(random),
        "every": round(hosts.log_uniform(random, 10, 800)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Has features."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.waiting = FEATURES.split()
        self.random.shuffle(self.waiting)
        self.used = 0

    async def answer(self, request: hosts.Request) -> str | None:
        """Use a feature, sometimes a new one."""
        if request.path != "/feature":
            return None
        self.used += 1
        if self.waiting and self.used % self.parameters["every"] == 0:
            return importlib.import_module(self.waiting.pop()).__name__
        return str(len(self.waiting))

    def held(self) -> int:
        """Return how many features are held."""
        return len(FEATURES.split()) - len(self.waiting)
