"""docs/server.md is held to the server: its tables to the code, its examples and commands by carrying them out."""

import asyncio
import importlib
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mimo_server.app import App
from mimo_server.command import listing_parser, server_parser
from mimo_server.defects import PROFILES, defects
from mimo_server.kinds import FILE
from mimo_server.options import choose
from mimo_server.procedures import steps
from mimo_server.procedures.files import parsed
from mimo_server.settings import Settings, rows
from mimo_server.skills import catalog_file
from mimo_server.skills.skill import Skill
from mimo_server.supervision.events import Kind
from mimo_server.surface import reading, tools
from mimo_server.surface.metrics import rendered
from mimo_server.synapse import messages
from mimo_server.upkeep.words import WORDS

ROOT = Path(__file__).parent.parent
MANUAL = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EVERY_BOUND = Settings(rate=1.0, embeddings="http://127.0.0.1:9/v1", embeddings_model="any")
"""Settings with which there is each limit that there can be."""


def table(head):
    """The cells of the table with this first line, without the marks of code."""
    lines = MANUAL[MANUAL.index(f"| {head} |\n") :].splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:end]]


def block(start):
    """The fenced block whose text starts like this."""
    (found,) = (text for _, text in FENCED.findall(MANUAL) if text.startswith(start))
    return found


def commands():
    """Each command line of the server in either document."""
    for text in (MANUAL, README):
        for language, lines in FENCED.findall(text):
            if language == "sh":
                yield from (line for line in lines.replace("\\\n", " ").splitlines() if line.startswith("mimo-server"))


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A folder with the manual's own files in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mimo.toml").write_text(block("http ="), encoding="utf-8")
    (tmp_path / "skills.json").write_text(block('{\n  "skills"'), encoding="utf-8")
    (tmp_path / "procedures.json").write_text(block("["), encoding="utf-8")
    (tmp_path / "token.txt").write_text("0123456789-abcdefghij\n", encoding="utf-8")
    return tmp_path


def test_the_server_has_commands_in_both_documents():
    assert len(list(commands())) >= 10


@pytest.mark.parametrize("line", list(commands()))
@pytest.mark.usefixtures("written")
def test_a_documented_command_is_one_that_the_server_would_carry_out(line):
    words = shlex.split(line)[1:]
    if words == ["--help"]:
        return
    if words[:1] == ["skills"]:
        assert catalog_file.read(FILE.parse(listing_parser("skills").parsed(words[1:])["file"]))
        return
    if words[0] in WORDS:
        assert listing_parser(words[0]).parsed(words[1:])["folder"]
        return
    what = words.pop(0) if words[:1] in (["settings"], ["defects"]) else None
    given = (listing_parser(what) if what else server_parser()).parsed(words)
    assert choose(given, {}).settings


def test_the_settings_file_is_read_whole_and_changes_each_default(written):
    keys = tomllib.loads((written / "mimo.toml").read_text())
    chosen = choose({"config": "mimo.toml"}, {})
    assert {name for name, origin in chosen.origins.items() if origin != "default"} == keys.keys()
    assert all(getattr(chosen.settings, key) != getattr(Settings(), key) for key in keys)


def test_the_catalog_and_the_procedures_fit_together(written):
    (skill,) = catalog_file.read(written / "skills.json").values()
    (procedure,) = parsed((written / "procedures.json").read_bytes()).values()
    assert procedure.states["ask"].action.arguments["skill"] == skill.name


def test_the_client_configuration_starts_a_server(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (server,) = json.loads(block('{\n  "mcpServers"'))["mcpServers"].values()
    assert server["command"] == "mimo-server"
    assert choose(server_parser().parsed(server["args"]), {}).settings.data == tmp_path / "memories"


def test_every_tool_is_there_as_it_declares_itself():
    declared = {"reads": tools.READS, "adds": tools.ADDS, "deletes": tools.DELETES, "resets": tools.RESETS}
    told = {name: declared[word] for name, word, _ in table("tool | declares | what")}
    assert told == {name: one.described.annotations for name, one in tools.own_tools().items()}


def test_every_resource_and_prompt_is_there():
    offered = [str(one.uri) for one in reading.RESOURCES] + [one.uri_template for one in reading.TEMPLATES]
    named = [name for name, _ in table("name | what")]
    assert named == offered + [one.name for one in reading.PROMPTS]


def test_every_message_of_an_agent_is_there_with_its_fields():
    models = {get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(messages.Said)}
    told = {
        name: set(re.findall(r"`(\w+)`", f"`{fields}`"))
        for name, fields, _ in table("client says | fields | answered with")
    }
    assert told == {name: set(model.model_fields) - {"type"} for name, model in models.items()}


def test_every_field_of_a_skill_is_there_with_its_default():
    skill = Skill(name="any", command=("any",))
    told = {name: default for name, default, _ in table("field | default | what")}
    assert told.keys() == Skill.__dataclass_fields__.keys() - {"name"}
    assert {name: float(told[name]) for name in told if name.endswith("_seconds")} == {
        name: getattr(skill, name) for name in told if name.endswith("_seconds")
    }
    assert told["processes"].replace("`", "") == f"{skill.processes.least}, {skill.processes.most}"


def test_every_step_is_there_with_its_arguments_and_events():
    told = {
        row[0]: [set(re.findall(r"\w+", cell)) for cell in row[1:]] for row in table("step | arguments | ends with")
    }
    assert told == {name: [set(step.required | step.optional), set(step.events)] for name, step in steps.STEPS.items()}


def test_every_bound_is_there_with_its_limit_and_its_setting(tmp_path):
    async def bounds():
        app = App(EVERY_BOUND)
        async with app.started():
            return {bound.name: bound.limit for bound in app.bounds()}

    told = table("bound | limit | of what | set by")
    assert {name: int(limit) for name, limit, _, _ in told} == asyncio.run(bounds())
    settings = {row.name for row in rows()}
    assert {name for row in told for name in re.findall(r"\w+", row[3])} <= settings


def test_every_metric_is_there():
    async def page():
        async with App(Settings()).started() as app:
            return (await rendered(app)).decode()

    families = [family.name for family in text_string_to_metric_families(asyncio.run(page()))]
    assert [name for name, _ in table("metric | what")] == families


def test_every_kind_of_event_is_there():
    listed = MANUAL.partition("Kinds of event")[2].partition("\n\n")[0]
    assert re.findall(r"`(\w+)`", listed) == list(Kind)


def truth(defect):
    """What is true of it, in one cell."""
    match defect.truth.kind:
        case "leak":
            grown = ", ".join(f"`{name}` {rate:g}" for name, rate in defect.truth.resources.items())
            return f"leak: {grown} per `{defect.truth.operation}`"
        case "look_alike":
            return f"no leak, under `{defect.truth.operation}`"
        case _:
            return f"wrong answer: scenario `{defect.truth.scenario}`"


def first_line(one):
    """Of the defect's file."""
    return importlib.import_module(one.install.__module__).__doc__.splitlines()[0].removesuffix(" Not a leak.")


def test_every_defect_is_there_with_its_profiles_and_its_truth():
    lines = [
        f"| `{name}` | {', '.join(one for one, members in PROFILES.items() if name in members) or '–'} "
        f"| {truth(one.defect)} | {first_line(one)} |"
        for name, one in defects().items()
    ]
    found = [line for line in MANUAL.splitlines() if re.match(r"\| `\w+` \| [\w, –]+ \| (leak|no leak|wrong)", line)]
    assert found == lines, "the table should be:\n" + "\n".join(lines)


def test_the_server_is_as_small_as_the_design_says():
    own = [path for path in (ROOT / "mimo_server").rglob("*.py") if not {"defects", "fixtures"} & {*path.parts}]
    sizes = [len(path.read_text(encoding="utf-8").splitlines()) for path in own]
    assert max(sizes) <= 300
    assert sum(sizes) < 13_000
