"""The scenarios of the reference server: right answers pass, and each check sees the wrong answer that it is for."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCENARIOS = Path(find_spec("loadtests").origin).parent / "scenarios"
NAMES = ("agents", "embeddings", "headers", "memories", "procedures", "skills", "tools")
EVIDENCE = Path(__file__).parents[1] / "reports" / "evidence" / "content.py"
ANSWER_SECONDS = 1.0
FAKE_ANSWER_SECONDS = 0.3
WRONG = {
    "Memories.keeps": {
        "empty": "came back empty, without an error",
        "forgets_nothing": "was accepted, where an error must come",
        "loses_metadata": "comes back as",
        "always_busy": "calls refused: readers: all 4 are busy",
        "says_two_things": "is not its structured content",
    },
    "Memories.filters": {
        "ignores_similarity": "min_similarity': .* gives .* not",
        "ignores_category": "'category': 'fact'. gives",
        "ignores_importance": "'min_importance': 0.5. gives",
        "ignores_limit": "12 memories where .*'limit': 5",
    },
    "Memories.pages": {"repeats_on_pages": "pages of 5 have", "takes_any_cursor": "was accepted"},
    "Memories.bursts": {"empty_when_busy": "came back empty, without an error"},
    "Skills.echoes": {"shifted": "another's answer"},
    "Skills.crosses": {"crossed": "another's answer"},
    "Skills.times_out": {"desync": "another's answer"},
    "Tools.lists": {
        "lists_twice": "names skill_echo, skill_delay more than once",
        "lists_no_skills": "lacks skill_delay, skill_echo",
        "no_schemas": "input schema {}",
    },
    "Tools.pings": {"pongs_for_others": "another's answer"},
    "Headers.forwards": {"heeds_headers": "something else when"},
    "Embeddings.compares": {"noise": "four shared words"},
    "Embeddings.repeats": {"wanders": "like (itself|a text) by"},
    "Procedures.remembers": {"finds_nothing": "does not find what it stored"},
    "Procedures.waits": {"loses_events": "has not ended", "loses_data": "is not in {}"},
    "Procedures.interrupts": {"deaf": "an interrupted run ends as"},
    "Procedures.retries": {"no_retries": "at attempt 1, not 3"},
    "Procedures.fails": {"hangs": "has not ended"},
    "Agents.asks": {"mixes_queries": "q1 finds .* first"},
    "Agents.interrupts": {"heeds_no_interrupt": "heard no"},
    "Agents.talks": {"sends_twice": "a message came twice", "tells_everybody": "a third agent hears"},
    "Agents.drops": {"ghosts": "reach a connection that was broken"},
    "Agents.closes": {"greets": "an agent that nobody knows yet has a message"},
}
"""By task: what a server does wrong, and what the check then says."""
RIGHT = ("right", "busy_sometimes")
ALL = """
import importlib

for name in {names}:
    globals()[name] = getattr(importlib.import_module("loadtests.scenarios." + name.lower()), name)
"""
ALL_WRONG = """
from loadtests.scenarios import agents, embeddings, headers, memories, procedures, skills, tools

def made(module, wrong):
    kind = getattr(module, module.__name__.rpartition(".")[2].title())
    own = {{"host": f"{host}/{{wrong}}", "soon_seconds": 0.5}}
    globals()[f"{{kind.__name__}}_{{wrong}}"] = type(kind)(f"{{kind.__name__}}_{{wrong}}", (kind,), own)

for module in (agents, embeddings, headers, memories, procedures, skills, tools):
    for wrong in {wrongs}:
        made(module, wrong)
"""


class Load:
    """A load process that plays a locustfile, as an audit does."""

    def __init__(self, path, host, concurrency, answer_seconds):
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "loadtests.play"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "ANSWER_SECONDS": str(answer_seconds)},
        )
        self.tell({"concurrency": concurrency, "locustfile": {"path": str(path), "host": host}})
        self.operations = self.ask(discover={"seconds": 5})["operations"]

    def tell(self, line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def ask(self, **line):
        self.tell(line)
        return json.loads(self.process.stdout.readline())

    def attempt(self, kind):
        return self.ask(attempt={"kind": f"task:{kind}", "index": 0, "seconds": 20})["problem"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def evidence():
    """The module reports/evidence/content.py."""
    spec = importlib.util.spec_from_file_location("content", EVIDENCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wrong():
    """Where the server listens that is wrong in many ways."""
    program = Path(__file__).parent / "programs" / "mcp_wrong.py"
    command = [sys.executable, "-W", "ignore", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


@pytest.fixture(scope="module")
def wrongs(wrong, tmp_path_factory):
    """A load process with each scenario against each wrong server."""
    ways = sorted({*RIGHT, *(way for ways in WRONG.values() for way in ways)})
    path = tmp_path_factory.mktemp("wrong") / "wrong.py"
    path.write_text(ALL_WRONG.format(host=wrong, wrongs=ways))
    with Load(path, wrong, 1, FAKE_ANSWER_SECONDS) as load:
        yield load


@pytest.fixture(scope="module")
def mimo(evidence, tmp_path_factory):
    """Where the reference server listens."""
    folder = tmp_path_factory.mktemp("mimo")
    command = [
        "mimo-server", "--http", "127.0.0.1:0", "--skills", evidence.catalog(folder, ANSWER_SECONDS, 60)
    ]  # fmt: skip
    log = (folder / "log").open("w+")
    with log, subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL) as process:
        try:
            yield evidence.until_listening(process, folder / "log")
        finally:
            process.terminate()
            process.wait(20)


def left(url):
    """What a scenario could have left behind."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    wanted = r'^(mimo_memories|mimo_registry_entries{registry="(?:executions|queries|topic_subscriptions)"}) (\S+)$'
    return dict(re.findall(wanted, page, re.MULTILINE))


@pytest.fixture(scope="module")
def rights(mimo, tmp_path_factory):
    """A load process with all scenarios against the reference server."""
    path = tmp_path_factory.mktemp("right") / "right.py"
    path.write_text(ALL.format(names=[name.title() for name in NAMES]))
    with Load(path, mimo, 4, ANSWER_SECONDS) as load:
        yield load


@pytest.mark.share(4)
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_passes_and_leaves_the_server_as_it_found_it(rights, mimo, name):
    before = left(mimo)
    assert len(before) == 4
    mine = [task for kind, _, task in tasks() if kind == name.title()]
    doses = {f"task:{name.title()}.{task}": 2 if task == "times_out" else 8 for task in mine}
    doses = {
        kind if kind in rights.operations else f"task:{kind.partition('.')[2]}": dose for kind, dose in doses.items()
    }
    played = rights.ask(play=doses, seconds=30)
    assert (played["problem"], played["failed"]) == (None, {})
    assert played["done"] == doses
    assert left(mimo) == before


def test_every_check_passes_where_the_answers_are_right_also_with_a_few_typed_refusals(wrongs):
    problems = {
        f"{kind}_{way}.{task}": wrongs.attempt(f"{kind}_{way}.{task}") for kind, _, task in tasks() for way in RIGHT
    }
    assert {operation: problem for operation, problem in problems.items() if problem} == {}


def tasks():
    return (operation.partition(".") for operation in WRONG)


def test_every_task_of_every_scenario_has_a_wrong_answer_that_it_sees(wrongs):
    mine = {operation for operation in wrongs.operations if "_right." in operation}
    assert mine == {f"task:{kind}_right.{task}" for kind, _, task in tasks()}


@pytest.mark.parametrize(
    ("task", "way", "words"), [(task, way, words) for task, ways in WRONG.items() for way, words in ways.items()]
)
def test_a_wrong_answer_is_seen(wrongs, task, way, words):
    kind, _, name = task.partition(".")
    problem = wrongs.attempt(f"{kind}_{way}.{name}")
    assert problem is not None
    assert re.search(words, problem), problem


@pytest.mark.parametrize(("way", "code"), [("right", 0), ("shifted", 1)])
def test_locust_by_itself_ends_with_1_when_an_answer_was_wrong(wrong, tmp_path, way, code):
    files = ",".join(str(SCENARIOS / f"{name}.py") for name in NAMES)
    command = ["locust", "-f", files, "--host", f"{wrong}/{way}", "--headless", "-u", "7", "-r", "7", "-t", "2s"]
    ran = subprocess.run(
        [*command, "--only-summary", "--answer-seconds", str(FAKE_ANSWER_SECONDS)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    assert ("another's answer" in ran.stderr + ran.stdout) == bool(code)


@pytest.mark.share(6)
def test_answers_under_load_are_ones_own_and_afterwards_nothing_is_left(evidence, tmp_path):
    found = evidence.content(tmp_path, seconds=4, users=15, answer_seconds=3.0)
    assert found["failures"] == []
    assert found["exit_code"] == 0
    assert found["result"]["failed"] == 0
    assert found["result"]["busy_percent"] <= 5
    assert found["result"]["above_the_floor"] == {}
    assert {name.partition(".")[0] for name in found["rounds"]} == {one.title() for one in evidence.SCENARIOS}
    assert all(row["count"] for row in found["rounds"].values())
