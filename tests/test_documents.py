"""The documents are tested: figures, commands, links, the layout, and what each file promises to say."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from leakcheck import cli, config, confirming, project
from leakcheck.commands import audit
from leakcheck.detect import levels
from leakcheck.model.finding import Per
from leakcheck.probes import Setting
from leakcheck.snapshots import Looker
from mimo_server.memory import checks, readers, signs
from mimo_server.procedures import execution
from mimo_server.skills import process, streams
from mimo_server.surface import connection, exchange, stdio, websocket
from mimo_server.synapse import agent, outbox

ROOT = Path(__file__).parent.parent
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}
README = DOCUMENTS["README.md"]
DESIGN = DOCUMENTS["docs/design.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_LINE = re.compile(r"`[^`\n]+`")
FIGURE = re.compile(r"<!--figure:(?P<file>[^#\s]+)#(?P<key>\S+?)-->(?P<shown>.*?)<!--/figure-->", re.DOTALL)
UNITS = r"operations/s|requests/s|KiB|MiB|GiB|kB|KB|MB|GB|bytes|minutes?|seconds?|hours?|days?|min|ms|µs|us|ns|s|h|%"
QUANTITY = re.compile(rf"(?<![\w.])\d[\d.,]*(?:\s?[–-]\s?\d[\d.,]*)?\s*(?:{UNITS})(?![\w/])")
CONTRACTS = {
    # What a document states with a unit and nobody measured: the value that the code must have for it.
    ("docs/design.md", "10 %"): (levels._PAGES.least_share, 0.10),  # growth below it is left to the allocator
    ("docs/design.md", "4 MiB"): (levels._PAGES.least, 4 << 20),  # likewise
    ("docs/design.md", "1 KiB"): (levels._PAGES.small[Per.OPERATION], 1024),  # what a clean verdict may leave open
    ("docs/design.md", "64 KiB"): (levels._PAGES.worst[Per.OPERATION], 65536),  # what it may not
    ("docs/design.md", "64 bytes"): (levels._HABITS["heap.malloc"].small[Per.OPERATION], 64),
    ("docs/design.md", "12 s"): (confirming._LONGEST_IDLE, 12.0),
    ("docs/design.md", "17 s"): (confirming.SHORTEST_PROOF, 17.0),
    ("docs/server.md", "4 MiB"): (
        {stdio._LONGEST_LINE, exchange.DEFAULT_MAX_REQUEST_BODY_SIZE},
        {4 << 20},
    ),
    ("docs/server.md", "64 KiB"): ({connection._LARGEST_HEAD, websocket._LONGEST_MESSAGE_BYTES}, {64 << 10}),
    ("docs/server.md", "256 KiB"): ({agent._LONGEST_RESULT, outbox.Outbox()._limit}, {256 << 10}),
    ("docs/server.md", "1 MiB"): ({streams.LONGEST_LINE, process.MOST_UNSENT}, {1 << 20}),
    ("docs/server.md", "64 bytes"): (signs.HEAD // 8, 64),
    ("docs/server.md", "8 KiB"): (checks._LONGEST_METADATA, 8 << 10),
    ("docs/server.md", "16 KiB"): (execution.MOST_CONTEXT_BYTES, 16 << 10),
    ("docs/server.md", "5 s"): (agent.Waits().hello, 5.0),
    ("docs/server.md", "10 s"): (agent.Waits().write, 10.0),
    ("docs/server.md", "1 s"): (readers._PATIENCE_S, 1.0),
}


def without_code(text):
    return IN_LINE.sub("", FENCED.sub("", text))


def prose(text):
    """What is left when code, figures and comments are taken out."""
    return re.sub(r"<!--.*?-->", "", FIGURE.sub("", without_code(text)), flags=re.DOTALL)


def commands():
    """Each command of the README's shell blocks, its continued lines joined."""
    for language, block in FENCED.findall(README):
        if language == "sh":
            for line in block.replace("\\\n", " ").splitlines():
                yield from (part.strip() for part in line.split("&&"))


def looked_up(document, key):
    """The value under a dotted path; a key may hold dots itself, and the longest that fits is taken."""
    parts = key.split(".")
    for count in range(len(parts), 0, -1):
        head = ".".join(parts[:count])
        if isinstance(document, dict) and head in document:
            return looked_up(document[head], ".".join(parts[count:])) if count < len(parts) else document[head]
    raise KeyError(key)


def fits(shown, value):
    """A number equals the number shown, whatever its form; anything else is shown as it is."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return re.fullmatch(r"-?[\d,]+(\.\d+)?", shown) is not None and float(shown.replace(",", "")) == float(value)
    return shown == value


def figures():
    return [
        pytest.param(name, match["file"], match["key"], match["shown"], id=f"{name}-{match['key']}")
        for name, text in DOCUMENTS.items()
        for match in FIGURE.finditer(without_code(text))
    ]


@pytest.mark.parametrize(("name", "file", "key", "shown"), figures())
def test_a_quoted_figure_stands_in_its_evidence_file(name, file, key, shown):
    path = ROOT / "reports" / file
    assert path.is_file(), f"{name} quotes {key} from {path}, which is not there; measure it with `nox -s evidence`"
    value = looked_up(json.loads(path.read_text(encoding="utf-8")), key)
    assert fits(shown.strip(), value), f"{name} says {shown!r} where {file} has {value!r} under {key}"


@pytest.mark.parametrize(
    ("shown", "value", "expected"),
    [
        ("0.27", 0.27, True),
        ("1,024", 1024, True),
        ("1.000", 1.0, True),
        ("clean", "clean", True),
        ("?", 0.27, False),
        ("?", "clean", False),
        ("0.3", 0.27, False),
    ],
)
def test_a_figure_is_compared_as_a_number_or_word_for_word(shown, value, expected):
    assert fits(shown, value) is expected


def test_a_dotted_path_finds_keys_that_hold_dots():
    document = {"seen": {"fds.socket": 0.1}, "kills": {"kills": 20}}
    assert (looked_up(document, "seen.fds.socket"), looked_up(document, "kills.kills")) == (0.1, 20)
    with pytest.raises(KeyError):
        looked_up(document, "seen.fds")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_measured_number_stands_outside_a_figure(name):
    found = {match.group().strip() for match in QUANTITY.finditer(prose(DOCUMENTS[name]))}
    allowed = {text for document, text in CONTRACTS if document == name}
    assert found - allowed == set(), "quote these between figure markers, or list them in CONTRACTS"
    assert allowed - found == set(), "these are listed in CONTRACTS and no longer written"


@pytest.mark.parametrize("text", CONTRACTS)
def test_a_stated_threshold_is_the_one_of_the_code(text):
    actual, stated = CONTRACTS[text]
    assert actual == stated, f"{text[0]} says {text[1]}"


@pytest.mark.parametrize("text", ["takes 0.3 ms", "95% of runs", "20 operations/s", "in 5–10 s.", "1.7 µs each"])
def test_a_number_with_a_unit_is_noticed(text):
    assert QUANTITY.search(prose(text))


@pytest.mark.parametrize(
    "text",
    [
        "Python 3.11 to 3.14",
        "`60s`",
        "exit code 2",
        "the 3 servers",
        "<!--figure:a/b.json#c-->0.3<!--/figure--> ms",
        "```\ntook 3 ms\n```\n",
    ],
)
def test_what_is_no_measurement_or_is_a_figure_is_let_through(text):
    assert not QUANTITY.search(prose(text))


def test_the_two_commands_of_a_stranger_stand_in_the_readme():
    for session in ("demo", "tests"):
        assert f"python3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox -s {session}\n" in README


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("leakcheck ")])
def test_a_documented_command_is_one_that_leakcheck_would_carry_out(line, monkeypatch, tmp_path):
    monkeypatch.setenv("API_TOKEN", "of-no-value")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locustfile.py").touch()
    asked = []
    monkeypatch.setattr(audit, "_audit", lambda options, *, print_json: asked.append(options) or int(print_json))
    words = shlex.split(line)
    known = typer.main.get_command(cli.app).commands
    assert words[1] in known, f"there is no command '{words[1]}'"
    context = known[words[1]].make_context(words[1], words[2:])
    if words[1] == "audit":
        with context, pytest.raises(typer.Exit):
            context.command.invoke(context)
        assert config.plan(asked[0], 12345, tmp_path).plan.driver


def test_the_documented_pyproject_table_is_a_valid_plan(tmp_path):
    (block,) = (block for language, block in FENCED.findall(README) if language == "toml")
    assert tomllib.loads(block)
    (tmp_path / "pyproject.toml").write_text(block, encoding="utf-8")
    options = project.merged(config.Options(), tmp_path / "pyproject.toml")
    assert config.plan(options, 12345, tmp_path).filled().command == ("my-mcp-server", "--metrics-port", "12345")


def test_every_option_named_in_the_readme_is_one_of_a_command(leakcheck):
    commands = ("audit", "watch", "run", "sweep")
    pages = [leakcheck(command, "--help", env={"COLUMNS": "80"}).stdout for command in commands]
    known = set(re.findall(r"--[a-z][a-z-]+", "".join(pages)))
    named = {
        option for text in IN_LINE.findall(FENCED.sub("", README)) for option in re.findall(r"--[a-z][a-z-]+", text)
    }
    assert "--budget" in named & known
    assert named - known == set()


def test_every_nox_session_and_evidence_item_named_in_a_document_exists():
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {
        next((keyword.value.value for keyword in getattr(mark, "keywords", []) if keyword.arg == "name"), function.name)
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for mark in function.decorator_list
    }
    named = {name for text in DOCUMENTS.values() for name in re.findall(r"nox -s ([a-z][a-z-]*)", text)}
    assert {"demo", "tests"} <= named
    assert named - sessions == set()
    rows = [line for line in README.splitlines() if "<!--figure:" in line and line.startswith("|")]
    items = {item for row in rows for item in IN_LINE.findall(row.split("|")[-2])}
    assert items
    assert {item.strip("`") for item in items} - set(evidence_items()) == set()


def evidence_items():
    """The items of all subjects; asked in a process of its own, for the scripts are no package."""
    code = "import json, line, mcp_http, mimo; print(json.dumps([*line.ITEMS, *mcp_http.ITEMS, *mimo.ITEMS]))"
    asked = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "reports" / "evidence", capture_output=True, text=True, check=True
    )
    return json.loads(asked.stdout)


def anchors(text):
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(DOCUMENTS[name])):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{name} links to {target}"


def laid_out():
    """The files that docs/design.md names in its layout: the first word of a block is their folder."""
    section = DESIGN.partition("\n## Layout\n")[2].partition("\n## ")[0]
    for _, block in FENCED.findall(section):
        head, *lines = block.splitlines()
        folder = head.split()[0]
        for line in lines:
            yield from (folder + name for name in re.split(r" {2,}", line)[0].split())


def there():
    return {
        path.relative_to(ROOT).as_posix()
        for package in ("leakcheck", "loadtests", "mimo_server", "reports/evidence", "reports/plans", "reports/tables")
        for path in (ROOT / package).rglob("*.*")
        if path.suffix in {".py", ".jinja", ".css", ".json", ".toml"}
        and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
    }


def test_the_layout_in_the_design_is_that_of_the_tree():
    named = list(laid_out())
    assert len(named) == len(set(named)), "a file is named twice"
    assert set(named) - there() == set(), "named in docs/design.md and not there"
    assert there() - set(named) == set(), "there and not named in docs/design.md"


def test_every_module_says_what_it_is_for():
    paths = sorted(ROOT / name for name in there() if name.endswith(".py"))
    assert paths
    silent = [str(path) for path in paths if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


RULES = {
    "attribution": "attribute",
    "bounded": "heed_bound",
    "confirmation": "confirm",
    "explained": "explain",
    "idle": "weigh_idle",
    "pages": "weigh_pages",
    "slowing": "slows",
    "stored": "name_stored",
    "wandering": "drifts",
    "weak": "withdraw",
}
"""Rules that change a judgement, by the name of their file; the others are called `judge_…`."""


def blind_spots_due():
    """Every probe's class, and every rule that judges a series."""
    for path in sorted((ROOT / "leakcheck" / "probes").glob("[!_]*.py")):
        yield path, "Probe"
    for path in sorted((ROOT / "leakcheck" / "detect").glob("[!_]*.py")):
        if path.stem != "overall":
            yield path, RULES.get(path.stem, f"judge_{path.stem[:-1]}")


@pytest.mark.parametrize(("path", "name"), list(blind_spots_due()), ids=lambda value: getattr(value, "stem", value))
def test_every_probe_and_rule_says_what_it_does_not_see(path, name):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if getattr(node, "name", "").startswith(name)]
    assert found, f"{path} defines no {name}"
    assert all("Does not see:" in " ".join(ast.get_docstring(node).split()) for node in found)


def test_every_resource_that_is_read_stands_in_the_readme():
    names = [resource.name for resource in Looker(Setting()).new_resources()]
    assert "fds.socket" in names
    assert [name for name in names if f"`{name}`" not in README] == []


def test_the_documents_are_narrow_enough_to_be_read_as_they_are():
    for name, text in DOCUMENTS.items():
        wide = [
            line for line in text.splitlines() if len(line) > 80 and not line.startswith("|") and "<!--" not in line
        ]
        assert wide == [], name


def test_no_document_names_the_machine_it_was_written_on():
    home = str(Path.home())
    assert [name for name, text in DOCUMENTS.items() if sys.prefix in text or f"{home}/" in text] == []
