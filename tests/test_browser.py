"""The HTML pages in a real browser: they show, ask the network for nothing, fit a phone."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

CHROMIUM = (
    *("chromium", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of a real audit with leaks."""
    folder = tmp_path_factory.mktemp("audited") / "audit"
    finished = subprocess.run(
        [
            *("leakcheck", "audit", "--mcp", "stdio", "--rounds", "27", "--operations", "4", "--grace", "2s"),
            *("--metrics", "http://127.0.0.1:{port}/metrics", "--out", str(folder)),
            *("--", "mimo-server", "--metrics-port", "{port}", "--profile", "current"),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert finished.returncode == 1, finished.stderr
    return folder / "report.html"


@pytest.fixture(scope="module")
def swept(tmp_path_factory, leakcheck_in):
    """The page of a sweep with a claim."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "plan.toml").write_text(
        f"""
        sizes = [500, 1000, 2000]
        quiet_seconds = 0.1
        [variants.linear]
        command = ["{sys.executable}", "{Path(__file__).parent / "programs" / "grower.py"}", "--stdio", "linear"]
        [fill]
        tool = "store"
        arguments = '{{"items": {{items}}}}'
        item = '{{number}}'
        batch = 100
        [[claims]]
        quantity = "memory.anon.rest"
        variant = "linear"
        size = 2000
        low = "1 MB"
        """,
        encoding="utf-8",
    )
    finished = leakcheck_in(folder, "sweep", "plan.toml", "--out", "out")
    assert finished.returncode == 0, finished.stderr
    return folder / "out" / "sweep.html"


@pytest.fixture(params=["report", "swept"])
def page(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def browse(tmp_path):
    def run(*options):
        assert shutil.which("chromium"), "run `nox -s browser`: it installs Debian's Chromium"
        profile = tmp_path / "profile"
        return subprocess.run(
            [*CHROMIUM, f"--user-data-dir={profile}", *options], capture_output=True, text=True, timeout=90, check=True
        ).stdout

    return run


def test_the_page_shows_its_verdict_without_scripts(report, browse):
    dom = browse("--dump-dom", report.as_uri())
    assert "<script" not in dom
    assert "Leak." in dom
    assert "call:agent_ping" in dom
    assert "<svg" in dom


def test_the_page_of_a_sweep_shows_its_claim_and_its_pictures_without_scripts(swept, browse):
    dom = browse("--dump-dom", swept.as_uri())
    assert "<script" not in dom
    assert "understated" in dom
    assert dom.count("<svg") >= 2


def test_the_page_asks_the_network_for_nothing(page, browse, tmp_path):
    log = tmp_path / "net.json"
    browse("--dump-dom", f"--log-net-log={log}", page.as_uri())
    events = json.loads(log.read_text())["events"]
    asked = {event["params"]["url"] for event in events if "url" in event.get("params", {})}
    assert not [url for url in asked if url.startswith(("http:", "https:")) and "google" not in url]


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_is_drawn_at_the_width_of_a_phone_and_of_a_desk(page, browse, tmp_path, width):
    picture = tmp_path / "page.png"
    browse(f"--window-size={width},2000", f"--screenshot={picture}", page.as_uri())
    shades = pixels(picture.read_bytes())
    assert len(shades) > 50, "the page is blank"


def pixels(png):
    """The distinct bytes of a PNG's decompressed rows: a blank page has only a few."""
    assert png.startswith(b"\x89PNG")
    data, position = b"", 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += 12 + length
    return set(zlib.decompress(data))
