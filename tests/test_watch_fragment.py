"""What a watch draws for the page of live charts, and what that page lets through."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from leakcheck.model.audit import Audit, Round, Value
from leakcheck.model.event import Ended, Floor, Phase, Planned, Ready, TargetInfo
from leakcheck.model.finding import Verdict
from leakcheck.model.moment import Moment
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import Process, ProcessReadings, Resource, Snapshot, Statistic
from leakcheck.model.wire import from_wire
from leakcheck.render._axis import Asked, asked, axis, ticks
from leakcheck.render.html import LARGEST
from leakcheck.render.watch_charts import MOST_LOOKS, Recent, fragment, page
from leakcheck.verdicts import conclude
from loadtests import watch_fragment
from loadtests.watch_fragment import tame

BEGAN = 1_795_000_000.0
ROOT = Process(pid=7, started=7, role="server", command="server")
AUDITS = sorted(Path(__file__).parents[1].glob("reports/*/*/audit.json"))
HOSTILE = "</style></h3><script>owned=1</script><img src=x onerror=owned=1> \" ' ` {{7*7}} \x1b[31m \u202eabc \ud800"


def floor(at, values):
    return Floor(
        round=0,
        phase=Phase.QUIET,
        operations={},
        planned={},
        failed={},
        load_seconds=1.0,
        settle_seconds=0.0,
        settled=True,
        loaded={},
        before_undo={},
        snapshot=Snapshot(
            at_seconds=at, cost_seconds=0.001, processes=(ProcessReadings(process=ROOT, values=values),), tree=()
        ),
    )


def seen(count, values, titles=()):
    """A watch of `count` floors, a second apart, whose resources stand at `values(at)`."""
    names = values(0.0)
    known = tuple(
        Resource(name=name, title=dict(titles).get(name, ""), unit="files", statistic=Statistic.COUNT, per_process=True)
        for name in names
    )
    target = TargetInfo(
        name=HOSTILE, command=("server",), pid=7, started=7, server="server", protocol="watched, not driven",
        ready_seconds=0.0, operations=(), not_played=(), root=ROOT,
    )  # fmt: skip
    plan = AuditPlan(command=None, pid=7, driver=DriverKind.NONE)
    return conclude(
        [
            Planned(schema=1, version="1", at="2026-11-22T00:00:00+00:00", plan=plan, environment={}),
            Ready(target=target, resources=known),
            *(floor(float(at), values(float(at))) for at in range(count)),
            Ended(how="finished", wall_seconds=float(count), auditor_cpu_seconds=0.1, looking_cpu_seconds=0.1),
        ]
    )


def two(at):
    """One grows by a file a second, and one stands."""
    return {"fds.file": 10.0 + at, "fds.pipe": 4.0}


def moment(audit, now, values=two):
    return Moment(
        audit=audit,
        floor=None,
        look=floor(now, values(now)),
        first=values(0.0),
        elapsed_seconds=now,
        unix_seconds=BEGAN + now,
        judged_seconds=now,
        cpu_share=0.01,
        resident_bytes=50 << 20,
    )


def look(audit, at, values=two):
    """What the watch's last look is made into: a round that follows those that were judged."""
    first = values(0.0)
    readings = {
        name: Value(total=value, growth=value - first[name], broken=False, roles={})
        for name, value in values(at).items()
    }
    return replace(audit.rounds[-1], at_seconds=at, readings=readings) if audit.rounds else Round(
        number=0, phase=Phase.QUIET, at_seconds=at, operations={}, failed={}, load_seconds=1.0, settle_seconds=0.0,
        settled=True, readings=readings, unread=(),
    )  # fmt: skip


class Cards(HTMLParser):
    """The articles of a fragment: their text by heading, in order."""

    def __init__(self, html):
        super().__init__()
        self.cards, self._inside = [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "article":
            self.cards.append("")
            self._inside = True

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "article"

    def handle_data(self, data):
        if self._inside:
            self.cards[-1] += f" {data}"


def cards(body):
    return [" ".join(text.split()) for text in Cards(tame(body).html).cards]


def test_a_leak_stands_first_with_value_growth_rate_forecast_and_what_is_clean_follows():
    audit = seen(60, two, {"fds.file": "open files"})
    leak, clean = cards(fragment(moment(audit, 60.0), (look(audit, 60.0),), Asked()))
    assert leak.startswith("open files Leak 70 files +60 since the watch began")
    assert re.search(r"3,600\S* files per hour \(", leak)
    assert clean.startswith("fds.pipe Clean 4 files unchanged since the watch began")
    assert "would have seen" in clean


def test_on_the_loads_clock_growth_is_told_since_its_start_up_to_its_end_and_per_request():
    audit = seen(60, two)
    looks = tuple(look(audit, 60.0 + one) for one in range(5))
    given = asked(f"since={BEGAN + 20}&until={BEGAN + 50}&from={BEGAN + 10}&to={BEGAN + 64}&operations=60")
    body = fragment(moment(audit, 64.0), looks, given)
    assert "+30, 0.50 per request since the load began" in cards(body)[0]
    assert b"<path class=mark d=" in body
    counted = asked(f"since={BEGAN + 20}&from={BEGAN + 10}&to={BEGAN + 64}&operations=21&counted={BEGAN + 62.5}")
    assert "+44, 2 per request since the load began" in cards(fragment(moment(audit, 64.0), looks, counted))[0]
    on = axis(given, moment(audit, 64.0), 0.0)
    assert (on.start, on.end, on.zero, on.marks) == (10.0, 64.0, 20.0, (20.0, 50.0))
    assert on.until == 50.0
    assert ticks(on) == ((20.0, "0"), (35.0, "15 s"), (50.0, "30 s"))
    assert ticks(axis(Asked(since=BEGAN - 7200), moment(audit, 60.0), 0.0))[-1] == (0.0, "2 h")


def test_each_look_moves_the_chart_while_the_verdicts_stay_and_before_any_verdict_too():
    audit = seen(30, two)
    recent, drawn = Recent(), []
    for at in (30.0, 31.0, 32.0):
        recent.add(look(audit, at), audit.rounds)
        drawn.append(fragment(moment(audit, at), recent.rounds, Asked(start=BEGAN, end=BEGAN + 100)))
    lines = [re.findall(rb'<path class=look d="([^"]*)"', one)[0] for one in drawn]
    assert len(set(lines)) == 3
    assert [card.split()[2] for card in (cards(one)[0] for one in drawn)] == ["40", "41", "42"]
    none = seen(0, two)
    assert none.verdict is not Verdict.CLEAN
    (first, _) = cards(fragment(moment(none, 2.0), (look(none, 1.0), look(none, 2.0)), Asked()))
    assert first.startswith("fds.file Not judged 12 files +1 since the watch began")


def test_looks_are_few_however_many_there_were_and_begin_anew_with_new_verdicts():
    audit, recent = seen(10, two), Recent()
    for number in range(1000):
        recent.add(look(audit, 10.0 + number), audit.rounds)
        assert len(recent.rounds) <= MOST_LOOKS
        assert recent.rounds[-1].at_seconds == 10.0 + number
    times = [one.at_seconds for one in recent.rounds]
    assert times == sorted(set(times))
    assert max(b - a for a, b in pairwise(times)) <= 64
    later = replace(audit, rounds=(*audit.rounds, look(audit, 900.0)))
    recent.add(look(audit, 1010.0), later.rounds)
    assert all(one.at_seconds > 900.0 for one in recent.rounds)


def test_the_fragment_and_its_page_are_bounded_however_much_there_is():
    def many(at):
        return {f"metric.{'<' * 300}{number}": number + at * (number % 2) for number in range(150)}

    audit = seen(6, many)
    wide = replace(audit, rounds=audit.rounds * 20)
    looks = (look(audit, 120.0, many),) * MOST_LOOKS
    for draw in (fragment, page):
        body = draw(moment(wide, 120.0, many), looks, Asked())
        assert len(body) <= LARGEST < watch_fragment.LARGEST
    assert "more resources: too many for one page" in tame(fragment(moment(wide, 120.0, many), looks, Asked())).html


@pytest.mark.parametrize("path", AUDITS, ids=lambda path: path.parent.name)
def test_every_committed_audit_is_drawn_and_let_through(path):
    audit = from_wire(Audit, json.loads(path.read_text()))
    at = audit.rounds[-1].at_seconds
    judged = [one for one in audit.findings if one.verdict is not Verdict.NOT_JUDGED]
    assert len(cards(fragment(moment(audit, at), audit.rounds[-3:], Asked()))) == len(judged)


def test_hostile_words_are_words_and_the_page_of_charts_lets_them_through():
    names = {"fds.file": HOSTILE, "fds.pipe": f"{HOSTILE}2"}
    audit = seen(60, two, names)
    body = fragment(moment(audit, 60.0), (look(audit, 60.0),), Asked())
    assert b"<script" not in body
    assert b"<img" not in body
    assert "\u202e" not in body.decode()
    (leak, _) = cards(body)
    assert "<script>owned=1</script><img src=x onerror=owned=1>" in leak


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=x", "since must be a time in Unix seconds"),
        ("since=nan", "since must be a time"),
        ("since=-1", "since must be a time"),
        ("since=1e11", "since must be a time"),
        ("operations=inf", "operations must be a number of operations"),
        ("since=1&since=2", "each at most once"),
        ("x=1", "there is since, until, from, to, operations, counted"),
        ("until=1", "the second needs the first"),
        ("from=2&to=1", "may not lie before it"),
        ("since", "bad query field"),
        ("&".join(["since=1"] * 9), "Max number of fields exceeded"),
    ],
)
def test_a_query_that_says_nothing_sensible_is_refused(query, words):
    with pytest.raises(ValueError, match=words):
        asked(query)


STYLE = "<style>p{color:red}</style>"


@pytest.mark.parametrize(
    "html",
    [
        "<script>1</script>",
        "<p onclick=x>a</p>",
        '<p class="a" onclick="x">a</p>',
        "<a href=x>a</a>",
        "<img src=x>",
        "<meta http-equiv=refresh content=0>",
        "<base href=x>",
        "<form></form>",
        "<iframe></iframe>",
        '<svg onload="x"></svg>',
        "<svg><foreignObject></foreignObject></svg>",
        "<svg><use href=x></use></svg>",
        '<i style="position:fixed">a</i>',
        '<i style="top:1%;background:red">a</i>',
        "<p id=live>a</p>",
        "<p>a</div>",
        "<p>a",
        "a</p>",
        "</main>",
        "<!-- a -->",
        "<p>a<",
        "<p\x0bclass=a>a</p>",
        "<P>a</P>",
        "<style>p{}</style>",
    ],
)
def test_a_fragment_of_another_form_is_refused_as_a_whole(html):
    with pytest.raises(ValueError, match="no fragment"):
        tame(f"{STYLE}<div>{html}</div>".encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<p>a</p>",
        b"<style>@import 'x';</style>",
        b"<style>p{background:URL (x)}</style>",
        b"<style>p{background:u\\72l(x)}</style>",
        b"<style>" + b"p{}" * 20000 + b"</style>",
        STYLE.encode() + b"\xff",
    ],
)
def test_a_fragment_without_a_harmless_style_sheet_is_refused(body):
    with pytest.raises(ValueError, match=r"no fragment|can't decode"):
        tame(body)


def test_a_fragment_of_the_narrow_form_is_let_through_as_it_is():
    html = (
        '<div class=cards><article class="live leak" id="r-1a"><h3>a &lt; b &amp; c</h3><svg><path d="M0 1h0"/></svg>'
    )
    html += "</article></div>"
    shown = tame((STYLE + html).encode())
    assert (shown.style, shown.html) == ("p{color:red}", html)


def test_checking_a_fragment_needs_no_locust():
    code = "import sys, loadtests.watch_fragment, loadtests.load_charts; sys.exit('locust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_line_that_began_before_the_axis_comes_in_at_its_edge_and_stays_inside():
    audit = seen(60, two)
    looks = tuple(look(audit, 60.0 + one) for one in range(5))
    for start, end in ((20.5, 64), (30, 61.5), (62.5, 80), (0, 5)):
        body = fragment(moment(audit, 64.0), looks, Asked(start=BEGAN + start, end=BEGAN + end)).decode()
        lines = re.findall(r'<path class=(?:fit|look) d="M([^"]*)"', body)
        assert lines
        places = [[int(one) for one in place.split()] for line in lines for place in re.split("[LM]", line)]
        assert all(0 <= x <= 1000 and 0 <= y <= 300 for x, y in places)
    empty = fragment(moment(audit, 64.0), looks, Asked(start=BEGAN + 70, end=BEGAN + 90)).decode()
    assert "<path class=fit" not in empty
    assert 'class="dot main"' not in empty
    body = fragment(moment(audit, 64.0), looks, Asked(start=BEGAN + 20.5, end=BEGAN + 64)).decode()
    assert re.search(r'<path class=fit d="M0 \d+L', body)
