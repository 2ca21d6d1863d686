"""Reports of audits: what a reader must find on each of them, and what hostile text must not do."""

import dataclasses
import io
import json
import os
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from leakcheck import render
from leakcheck._discover import BrokenContractError
from leakcheck.errors import UsageError
from leakcheck.model.audit import Audit, Round, Tool, Value
from leakcheck.model.event import Copy, Left, Limit, NotPlayed, Phase, TargetInfo
from leakcheck.model.finding import Detectable, Finding, Forecast, Per, Rate, Shape, Suspect, Verdict
from leakcheck.model.plan import AuditPlan, DriverKind, ToolChoice
from leakcheck.model.reading import Holder, Resource, Statistic
from leakcheck.model.wire import from_wire
from leakcheck.render import html, terminal
from leakcheck.render import json as as_json

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)> javascript:alert(1) [bold red]x[/] {{7*7}}"
    " {%x%} \x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07 \u202eabc\u2066 \u2028 \u2029 \x00 \ud800"
    " \"'`&amp; --><!-- ]]>"
)
KINDS = ("call:store", "call:skill_echo", "reject")
DOSES = {"call:store": 60, "call:skill_echo": 20, "reject": 12}


def finding(
    resource: str, title: str, unit: str, verdict: Verdict, shape: Shape | None = Shape.FLAT, **rest
) -> Finding:
    given = {"operation": None, "rate": None, "forecast": None, "suspects": (), "evidence": f"{title} stayed level."}
    given["detectable"] = Detectable(
        value=4 * 1024.0 if unit == "bytes" else 1 / 310, unit=unit, per=Per.OPERATION
    ) if verdict is not Verdict.NOT_JUDGED else None  # fmt: skip
    given["fingerprint"] = f"{hash(resource) & 0xFFFF:04x}"
    given |= rest
    return Finding(resource=resource, title=title, unit=unit, verdict=verdict, shape=shape, **given)


def rate(value: float, low: float, high: float, unit: str, per: Per = Per.OPERATION) -> Rate:
    return Rate(value=value, low=low, high=high, unit=unit, per=per)


def forecast(limit: str, value: float, now: float, hours: tuple[float, float], sentence: str) -> Forecast:
    return Forecast(
        limit=limit,
        limit_value=value,
        now=now,
        operations_low=None,
        operations_high=None,
        hours_low=hours[0],
        hours_high=hours[1],
        sentence=sentence,
    )


LEAKS = (
    finding(
        "fds.socket", "open sockets", "sockets", Verdict.LEAK, Shape.SLOPE, operation="call:store",
        rate=rate(1.0, 0.98, 1.02, "sockets"),
        evidence="Each of 14 judged rounds ended with more open sockets than the one before: 66 to 846 over 840 calls"
        " of store, none given back in 2 quiet rounds.",
        forecast=forecast("RLIMIT_NOFILE", 4096, 860, (0.9, 1.0), "EMFILE in 54\u201360 min at 1 call/s, limit 4096"),
        suspects=(Suspect(holder="socket to 127.0.0.1:6379", proof="+780 from the first judged floor to the last"),),
    ),
    finding(
        "processes", "processes", "processes", Verdict.LEAK, Shape.SLOPE, operation="call:skill_echo",
        rate=rate(1.0, 1.0, 1.0, "processes"),
        evidence="One process more for each call of skill_echo, in every round; they are still running at the end.",
        forecast=forecast("cgroup pids.max", 9000, 388, (2.3, 2.5), "fork fails in 2.3\u20132.5 h, limit 9000"),
    ),
    finding(
        "metric.mimo_sessions", "registry entries (mimo_sessions)", "entries", Verdict.LEAK, Shape.SLOPE,
        operation="call:store", rate=rate(1.01, 0.93, 1.09, "entries"),
        evidence="The gauge mimo_sessions rose with call:store and never fell.",
    ),
    finding(
        "memory.anon", "anonymous memory", "bytes", Verdict.LEAK, Shape.SLOPE, operation="call:store",
        rate=rate(5300, 4700, 5900, "bytes"),
        evidence="The lowest floors of 6 blocks all rose, the late half as fast as the early one.",
        forecast=forecast("RAM", 8 * 2**30, 130 * 2**20, (400, 520), "RAM is full in 17\u201322 days, 8 GiB"),
    ),
)  # fmt: skip

CLEAN = (
    finding("fds.file", "open files", "files", Verdict.CLEAN),
    finding("fds.pipe", "open pipe ends", "pipe ends", Verdict.CLEAN),
    finding("threads", "threads", "threads", Verdict.CLEAN, Shape.PLATEAU, evidence="Rose to 12 and stayed there."),
    finding("zombies", "zombies", "zombies", Verdict.CLEAN),
    finding("files.deleted", "deleted files still open", "files", Verdict.CLEAN),
    finding("metric.mimo_rows", "memories stored", "rows", Verdict.CLEAN, Shape.STORED,
            evidence="Grows by what the calls store: forgetting them gives all of it back."),
    finding("memory.uss", "memory of its own", "bytes", Verdict.CLEAN, Shape.PEAK,
            evidence="Full scans take 31 MiB more under load; each floor is back at 84 MiB."),
)  # fmt: skip

OPEN = (
    finding("files.temporary", "temporary files", "files", Verdict.UNDECIDED, Shape.FILLING,
            operation="call:store", rate=rate(0.02, -0.01, 0.05, "files"),
            evidence="Rose in 6 of 14 rounds; needs more rounds to tell a filling cache from a leak."),
    finding("left.processes", "processes left behind", "processes", Verdict.UNDECIDED, None,
            operation="abandon", evidence="1 of 2 copies left a process behind; needs 4 copies to tell."),
    finding("sockets.listen", "listening sockets", "sockets", Verdict.NOT_JUDGED, None,
            evidence="Never readable: permission denied: /proc/4242/net/tcp."),
)  # fmt: skip

RESOURCE_LEVELS = {"memory.anon": 80 * 2.0**20, "memory.uss": 84 * 2.0**20, "threads": 12.0, "metric.mimo_rows": 40.0}


def level(name: str, done: dict[str, int], quiet: bool, draw: random.Random, leaky: bool) -> float:
    grows = {
        "fds.socket": done["call:store"],
        "processes": done["call:skill_echo"],
        "metric.mimo_sessions": done["call:store"],
        "memory.anon": done["call:store"] * 5300 + draw.gauss(0, 180_000),
        "files.temporary": draw.choice((0, 1, 2)) + done["call:store"] // 60,
        "metric.mimo_rows": done["call:store"] * 0.2,
    }
    noise = draw.gauss(0, 60_000) if name.startswith("memory.") else 0.0
    return RESOURCE_LEVELS.get(name, 6.0) + (grows.get(name, 0.0) if leaky else 0.0) + noise


def rounds(names: tuple[str, ...], leaky: bool, main: int = 14, broken_at: int | None = None) -> tuple[Round, ...]:
    draw, done, found = random.Random(7), dict.fromkeys(KINDS, 0), []
    first: dict[str, float] = {}
    phases = [Phase.PILOT, Phase.WARM_UP, Phase.WARM_UP, *[Phase.MAIN] * main, Phase.QUIET, Phase.QUIET]
    for number, phase in enumerate(phases, 1):
        share = {Phase.PILOT: 0.2, Phase.QUIET: 0.0}.get(phase, draw.uniform(0.7, 1.3))
        played = {kind: round(dose * share) for kind, dose in DOSES.items()}
        done = {kind: done[kind] + played[kind] for kind in KINDS}
        values = {name: level(name, done, phase is Phase.QUIET, draw, leaky) for name in names}
        first = first or values
        readings = {
            name: Value(
                total=value,
                growth=value - first[name],
                broken=number == broken_at,
                roles={"python": 6.0, "python>node": value - 6.0} if name == "fds.socket" else {"python": value},
                holders=(Holder(name="127.0.0.1:6379", count=value - 4), Holder(name="unix", count=2.0))
                if name == "fds.socket" and number in {4, len(phases)}
                else (),
                peak=value + 31 * 2**20 if name == "memory.uss" else None,
            )
            for name, value in values.items()
        }
        found.append(
            Round(
                number=number, phase=phase, at_seconds=3.1 * number, operations=played,
                failed={"call:store": 1} if number == 6 else {}, load_seconds=2.0, settle_seconds=0.4,
                settled=number != 5, readings=readings, unread=("sockets.listen",),
            )
        )  # fmt: skip
    return tuple(found)


def plan(**rest) -> AuditPlan:
    given = {"command": ("mimo-server", "--profile", "current"), "pid": None, "driver": DriverKind.STDIO}
    given |= {
        "inside": True,
        "directory": ".leakcheck/mimo-server",
        "name": "mimo-server",
        "header_names": ("X-Api-Key",),
    }
    return AuditPlan(**(given | rest))


def audit(findings: tuple[Finding, ...], verdict: Verdict, **rest) -> Audit:
    leaky = verdict is Verdict.LEAK
    names = tuple(one.resource for one in findings if one.shape is not None)
    given = {
        "schema": 1,
        "tool": Tool(
            name="mimo-leakcheck", version="0.1.0", ended="finished", wall_seconds=61.4, auditor_cpu_share=0.11,
            looking_cpu_share=0.0031, snapshot_ms=0.42,
        ),
        "at": "2026-11-22T18:00:00Z",
        "environment": {"python": "3.11.2", "kernel": "Linux 6.18", "cores": 2, "memory_gib": 7.8},
        "plan": plan(),
        "target": TargetInfo(
            name="mimo-server", command=("mimo-server", "--profile", "current"), pid=4242, started=987654,
            server="mimo 0.1.0", protocol="MCP 2025-11-25 over stdio", ready_seconds=0.83, operations=KINDS,
            not_played=(
                NotPlayed(operation="call:forget_all", reason="not declared read-only; name it with --tool"),
                NotPlayed(operation="call:reset", reason="not declared read-only; name it with --tool"),
                NotPlayed(operation="call:slow", reason="took 3.4 s when tried, more than 2 s"),
            ),
        ),
        "resources": tuple(
            Resource(name=one.resource, unit=one.unit, statistic=Statistic.COUNT, per_process=True, title=one.title)
            for one in findings
        ),
        "rounds": rounds(names, leaky, broken_at=11 if leaky else None),
        "copies": (
            Copy(operation="session", number=1, ended_seconds=0.31, left=()),
            Copy(operation="abandon", number=1, ended_seconds=0.52, left=(Left(what="process", name="skill_echo"),)),
            Copy(operation="abandon", number=2, ended_seconds=0.49, left=()),
            Copy(operation="stop", number=1, ended_seconds=2.6, left=(), needed_signal=True),
        ),
        "limits": (
            Limit(name="RLIMIT_NOFILE", value=4096, now=860, resources=("fds.",)),
            Limit(name="cgroup memory.max", value=8 * 2.0**30, now=130 * 2.0**20, resources=("memory.",)),
        ),
        "verdict": verdict,
        "warnings": ("1 of 913 calls of store was answered with an error: 'database is locked'.",),
        "findings": findings,
    }  # fmt: skip
    return Audit(**(given | rest))


def leaky() -> Audit:
    return audit((*CLEAN[:3], *LEAKS, *CLEAN[3:], *OPEN), Verdict.LEAK)


def clean() -> Audit:
    return audit(CLEAN, Verdict.CLEAN, warnings=(), copies=(), plan=plan(command=("mimo-server",)))


def fixed() -> Audit:
    calm = {"verdict": Verdict.CLEAN, "shape": Shape.FLAT, "rate": None, "operation": None, "forecast": None}
    same = tuple(dataclasses.replace(one, **calm) for one in leaky().findings if one.verdict is not Verdict.NOT_JUDGED)
    return audit(same, Verdict.CLEAN, plan=plan(command=("mimo-server", "--profile", "fixed")))


def interrupted() -> Audit:
    one = clean()
    return dataclasses.replace(
        one, rounds=(), findings=(), limits=(), verdict=Verdict.NOT_JUDGED,
        tool=dataclasses.replace(one.tool, ended="interrupted", snapshot_ms=None, looking_cpu_share=None),
    )  # fmt: skip


def silent() -> Audit:
    return dataclasses.replace(interrupted(), target=None, environment={}, resources=())


def hostile() -> Audit:
    bad = tuple(
        dataclasses.replace(
            one, title=HOSTILE, resource=f"metric.{HOSTILE}{number}", unit=HOSTILE, operation=f"call:{HOSTILE}",
            evidence=HOSTILE, suspects=(Suspect(holder=HOSTILE, proof=HOSTILE),),
            rate=one.rate and dataclasses.replace(one.rate, unit=HOSTILE),
        )
        for number, one in enumerate((*LEAKS, *OPEN, *CLEAN))
    )  # fmt: skip
    base = audit(bad, Verdict.LEAK)
    assert base.target is not None
    return dataclasses.replace(
        base,
        target=dataclasses.replace(
            base.target, name=HOSTILE, server=HOSTILE, protocol=HOSTILE, command=(HOSTILE, HOSTILE),
            not_played=(NotPlayed(operation=HOSTILE, reason=HOSTILE),),
        ),
        plan=plan(command=(HOSTILE,), directory=HOSTILE, name=HOSTILE, tools=ToolChoice(named=(HOSTILE,))),
        environment={HOSTILE: HOSTILE}, warnings=(HOSTILE,),
        copies=(Copy(operation="abandon", number=1, ended_seconds=None, left=(Left(what="file", name=HOSTILE),)),),
    )  # fmt: skip


def large(findings: int = 60, leaks: int = 60, main: int = 55, text: str = "") -> Audit:
    kinds = [LEAKS[index % 4] if index < leaks else CLEAN[index % 7] for index in range(findings)]
    named = tuple(
        dataclasses.replace(
            one, resource=f"{one.resource}.{number}", evidence=one.evidence + text, title=one.title + text,
            suspects=(Suspect(holder=f"holder {text}", proof=f"proof {text}"),) * 12,
        )
        for number, one in enumerate(kinds)
    )  # fmt: skip
    whole = audit(named, Verdict.LEAK, rounds=())
    names = tuple(one.resource for one in named)
    seen = rounds(("fds.socket",), leaky=True, main=main, broken_at=30)
    return dataclasses.replace(
        whole,
        rounds=tuple(
            dataclasses.replace(one, readings=dict.fromkeys(names, one.readings["fds.socket"])) for one in seen
        ),
    )


SAMPLES = {"leaky": leaky, "clean": clean, "interrupted": interrupted, "silent": silent, "hostile": hostile}


@pytest.fixture(params=SAMPLES, ids=str)
def sample(request) -> Audit:
    return SAMPLES[request.param]()


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and its text."""

    def __init__(self, page: bytes):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def terminal_text(one: Audit) -> str:
    return terminal.render(one).decode()


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; look at the change, then run once with WRITE_GOLDEN=1"


# ---- discovery -------------------------------------------------------------------------------------------------


def test_each_file_of_a_format_is_found_and_nothing_else():
    assert {name: one.FILE for name, one in render.renderers().items()} == {
        "html": "report.html",
        "json": "audit.json",
        "terminal": "report.txt",
    }


def test_an_unknown_format_is_answered_with_those_there_are():
    with pytest.raises(UsageError, match=r"no format 'pdf'; choose one of html, json, terminal"):
        render.renderer("pdf")


def test_a_format_without_a_file_name_is_named_with_the_cure(monkeypatch):
    monkeypatch.delattr(as_json, "FILE")
    with pytest.raises(BrokenContractError, match=r"json\.py defines no `FILE`; give it"):
        render.renderers()


# ---- json ------------------------------------------------------------------------------------------------------


def test_the_json_fits_the_schema_and_comes_back_as_the_same_audit(sample):
    document = json.loads(as_json.render(sample))
    schema = json.loads(resources.files("leakcheck").joinpath("schema/audit.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert from_wire(Audit, document) == sample


def test_an_audit_read_back_renders_to_the_same_bytes(sample):
    first = as_json.render(sample)
    assert as_json.render(from_wire(Audit, json.loads(first))) == first


def test_a_number_that_json_cannot_hold_is_an_error_not_a_broken_file():
    one = leaky()
    broken = dataclasses.replace(one, tool=dataclasses.replace(one.tool, wall_seconds=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json.render(broken)


# ---- terminal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["leaky", "clean", "interrupted", "silent"])
def test_the_terminal_report_is_as_it_was(name):
    golden(f"{name}.txt", terminal_text(SAMPLES[name]()))


def test_no_line_on_the_terminal_is_wider_than_80_columns(sample):
    assert max(len(line) for line in terminal_text(sample).splitlines()) <= 80


def test_the_first_line_is_the_verdict_and_leaks_come_before_the_rest():
    text = terminal_text(leaky())
    assert text.startswith("LEAK  mimo-server: 4 of 13 resources grow and are not given back")
    places = [
        text.index(part) for part in ("open sockets", "UNDECIDED", "open files", "NOT JUDGED", "warning:", "Cost")
    ]
    assert places == sorted(places)


def test_leaks_are_ordered_by_how_soon_their_limit_is_hit():
    text = terminal_text(leaky())
    assert (
        text.index("EMFILE in")
        < text.index("fork fails in")
        < text.index("RAM is full in")
        < text.index("mimo_sessions")
    )


def test_colour_adds_nothing_that_the_words_do_not_say():
    coloured = io.StringIO()
    terminal.print_audit(leaky(), Console(file=coloured, width=80, force_terminal=True, color_system="standard"))
    assert "\x1b[1;31mLEAK" in coloured.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured.getvalue())
    assert [line.rstrip() for line in plain.splitlines()] == terminal_text(leaky()).splitlines()


def test_two_audits_stand_side_by_side_with_one_row_a_resource():
    file = io.StringIO()
    console = Console(file=file, width=80, color_system=None, force_terminal=False)
    terminal.side_by_side(leaky(), fixed(), console)
    golden("side_by_side.txt", file.getvalue())
    assert file.getvalue().count("open files") == 1


def test_a_console_whose_reader_has_gone_does_not_end_the_process():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8", buffering=1) as file:
        terminal.print_audit(leaky(), terminal.PatientConsole(file=file, width=80))


def test_a_screen_that_knows_only_ascii_gets_escapes_instead_of_an_error(tmp_path):
    (tmp_path / "audit.json").write_bytes(as_json.render(leaky()))
    program = (
        "import json, sys; from leakcheck.model import audit, wire; from leakcheck.render import terminal;"
        "one = wire.from_wire(audit.Audit, json.load(open(sys.argv[1], 'rb')));"
        "terminal.print_audit(one, terminal.open_console())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, tmp_path / "audit.json"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(b"LEAK  mimo-server: 4 of 13")
    assert b"\\u2013" in done.stdout


# ---- hostile text ----------------------------------------------------------------------------------------------


def test_hostile_text_has_no_power_over_the_terminal():
    for force in (False, True):
        file = io.StringIO()
        colours = "standard" if force else None
        terminal.print_audit(hostile(), Console(file=file, width=80, force_terminal=force, color_system=colours))
        ours = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()) if force else file.getvalue()
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", ours)
        assert "\x1b[31mred" not in file.getvalue()
        flat = re.sub(r"\s+", "", ours)
        assert "\\x1b[31mred" in flat
        assert "\\u202eabc" in flat
        assert "[boldred]x[/]" in flat


def test_hostile_text_adds_no_element_and_no_attribute_to_the_page():
    allowed = {tag for tag, _ in Page(html.render(leaky())).tags} | {tag for tag, _ in Page(html.render(clean())).tags}
    page = html.render(hostile())
    read = Page(page)
    assert {tag for tag, _ in read.tags} <= allowed
    assert not {"script", "img", "iframe", "link", "object"} & {tag for tag, _ in read.tags}
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert b"<script" not in page.lower()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", page.decode())
    assert "\\u202eabc" in read.text
    assert "\\u2028" in read.text
    assert "{{7*7}}" in read.text


def test_no_link_is_made_from_the_targets_text():
    links = [attributes["href"] for _, attributes in Page(html.render(hostile())).tags if "href" in attributes]
    assert links
    assert all(link == "audit.json" or re.fullmatch(r"#f\d+", link or "") for link in links)


# ---- html ------------------------------------------------------------------------------------------------------


def test_the_page_loads_nothing_and_forbids_loading(sample):
    page = html.render(sample).decode()
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    assert policy in page
    tags = Page(page.encode()).tags
    assert not [value for _, attributes in tags for name, value in attributes.items() if name in {"src", "srcset"}]
    styles = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert styles
    assert not re.search(r"url\(|@import|https?:", styles[1])


def test_the_page_says_what_each_finding_says():
    text = " ".join(Page(html.render(leaky())).text.split())
    assert "Leak. 4 of 13 resources grow and are not given back." in text
    for one in LEAKS:
        assert one.evidence in text
        assert one.forecast is None or one.forecast.sentence in text
    for part in (
        "1.00 sockets per call:store 0.98\u20131.02 at 95 %",
        "5.2 KiB per call:store 4.6\u20135.8 at 95 %",
        "1 per 310 operations",
        "call:forget_all, call:reset not played: not declared read-only",
        "Never readable: permission denied: /proc/4242/net/tcp.",
        "abandon 2",
        "1 of 2 left something: 1 process (skill_echo)",
        "leakcheck audit --mcp stdio --header 'X-Api-Key: $X_API_KEY' --budget 60s -- mimo-server --profile current",
        "looking cost 0.42 ms a snapshot, 0.31 % of a core",
        "Full scans take 31 MiB more under load",
    ):
        assert part in text, part
    assert (
        text.index("Not judged") < text.index(LEAKS[0].evidence) < text.index(OPEN[0].evidence) < text.index("Clean ")
    )


def test_each_drawing_is_named_for_who_cannot_see_it():
    page = html.render(leaky()).decode()
    drawings = [attributes for tag, attributes in Page(page.encode()).tags if tag == "svg"]
    assert len(drawings) == len(LEAKS) + len(CLEAN) + 1
    assert all(one["role"] == "img" and one["aria-label"] for one in drawings)
    assert page.count("<title>") == len(drawings) + 1


def test_no_line_is_drawn_across_a_break():
    page = html.render(leaky()).decode()
    card = page[page.index('id="f1"') : page.index('id="f2"')]
    ends = [tuple(map(int, re.findall(r"\d+", one))) for one in re.findall(r'<path class=fit d="([^"]+)"', card)]
    broken = re.search(r'<path class=break d="M(\d+) 0', card)
    assert broken
    assert len(ends) == 2
    assert ends[0][2] < int(broken[1]) < ends[1][0]


def test_interrupted_and_silent_audits_say_so_on_the_page():
    assert "Interrupted: concluded from no round seen until then." in Page(html.render(interrupted())).text
    assert "Not judged. The target never answered." in " ".join(Page(html.render(silent())).text.split())


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(large(), id="60 leaks of 60 rounds"),
        pytest.param(large(leaks=4), id="56 clean"),
        pytest.param(large(text=HOSTILE * 40), id="long hostile texts"),
        pytest.param(large(findings=1500, leaks=700, text="x" * 3000), id="1500 findings"),
    ],
)
def test_the_page_stays_under_200_kib(one):
    page = html.render(one)
    assert len(page) <= 200 * 1024
    assert page.rstrip().endswith(b"</html>")


def test_all_60_findings_of_60_rounds_have_their_card_and_curve():
    tags = Page(html.render(large())).tags
    assert sum(tag == "article" for tag, _ in tags) == 60
    assert sum(tag == "svg" for tag, _ in tags) == 60


def test_findings_that_do_not_fit_on_the_page_are_counted():
    text = Page(html.render(large(findings=1500, leaks=700, text="x" * 3000))).text
    assert re.search(r"1,\d\d\d more findings in audit\.json", text)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_colour_has_the_contrast_of_aa(scheme):
    style = html.render(clean()).decode()
    colours = dict(re.findall(r"--([a-z_-]+):(#[0-9a-f]{6})", re.findall(r":root\{([^}]*)\}", style)[scheme]))
    pairs = [(ink, ground) for ink in ("ink", "soft", "accent") for ground in ("page", "card", "code")]
    pairs += [
        (tone, ground) for tone in ("leak", "clean", "undecided", "not_judged") for ground in ("card", f"{tone}-bg")
    ]
    pairs += [("ink", f"{tone}-bg") for tone in ("leak", "undecided")]
    for ink, ground in pairs:
        dark, light = sorted((luminance(colours[ink]), luminance(colours[ground])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
