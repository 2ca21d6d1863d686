"""The bench of verdicts: what it draws, keeps, scores and says. Nothing here waits for a whole audit."""

import gzip
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "reports" / "verdict"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODULES = (
    *("draw", "hosts", "intervals", "keeping", "outcomes", "power", "report", "run"),
    *("sampling", "scoring", "series", "trends"),
)
MECHANISM = """
LEAKS = {leaks}
HOST, RESOURCE, KIND = "threads", "fds", "plain"
REQUESTS = ("GET /work?n={{n}}", "POST /other {{{{}}}}")
OPERATION = "GET /work" if LEAKS else None
def draw(random): return {{"rate": random.random(), "seed": random.randrange(1000)}}
def rate(parameters): return {rate}
"""
SERVER = """
if __name__ == "__main__":
    import sys
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
        do_POST = do_GET
        def log_message(self, *about): pass
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
        for name in (*MODULES, "measuring"):
            sys.modules.pop(name, None)


def mechanisms_in(folder, *, leaking=3, healthy=5):
    folder.mkdir(exist_ok=True)
    for leaks, count in ((True, leaking), (False, healthy)):
        for number in range(count):
            text = MECHANISM.format(leaks=leaks, rate='parameters["rate"]' if leaks else None)
            (folder / f"{'leak' if leaks else 'fine'}_{number}.py").write_text(text)
    return folder


# --- drawing


def test_a_commit_draws_the_same_programs_each_time_and_another_one_others(bench, tmp_path):
    known = bench.draw.mechanisms(mechanisms_in(tmp_path / "mechanisms"))
    halves = bench.draw.split(known)
    once = bench.draw.programs("report", COMMIT, known, halves, (10, 10))
    assert once == bench.draw.programs("report", COMMIT, known, halves, (10, 10))
    other = bench.draw.programs("report", COMMIT[::-1], known, halves, (10, 10))
    assert {one.parameters["seed"] for one in once} != {one.parameters["seed"] for one in other}
    assert len({one.id for one in once}) == 20
    assert all((one.rate is not None) is one.leaks for one in once)


def test_mechanisms_are_cycled_evenly_and_more_programs_leave_the_first_as_they_were(bench, tmp_path):
    known = bench.draw.mechanisms(mechanisms_in(tmp_path / "mechanisms"))
    halves = bench.draw.split(known)
    few = bench.draw.programs("develop", COMMIT, known, halves, (7, 5))
    many = bench.draw.programs("develop", COMMIT, known, halves, (30, 20))
    counts = Counter(one.mechanism for one in many if not one.leaks)
    assert counts.total() == 30
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {one.id: one for one in few}.items() <= {one.id: one for one in many}.items()
    assert sum(one.leaks for one in many[:25]) == pytest.approx(10, abs=1), "leaking ones are spread over the run"


def test_the_halves_are_even_among_leaking_and_healthy_and_what_has_a_half_keeps_it(bench, tmp_path):
    folder = mechanisms_in(tmp_path / "mechanisms", leaking=7, healthy=8)
    known = bench.draw.mechanisms(folder)
    halves = bench.draw.split(known)
    for kind, count in (("leak", 7), ("fine", 8)):
        sizes = [sum(name.startswith(kind) for name in names) for names in halves.values()]
        assert sum(sizes) == count
        assert max(sizes) - min(sizes) <= 1
    assert halves == bench.draw.split(dict(reversed(known.items())))
    more = bench.draw.split(bench.draw.mechanisms(mechanisms_in(folder, leaking=20, healthy=20)), halves)
    assert all(set(names) <= set(more[half]) for half, names in halves.items())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is missing"),
        ({"develop": ["leak_0"], "report": []}, "lacks fine_0"),
        ({"develop": ["leak_0", "fine_0"], "report": ["leak_0"]}, "leak_0 more than once"),
        ({"develop": ["leak_0", "fine_0", "old"], "report": []}, "old, which is no mechanism"),
        ({"develop": ["leak_0", "fine_0"]}, "must hold develop and report"),
    ],
)
def test_a_split_that_does_not_fit_the_mechanisms_is_an_error_that_says_what_to_do(bench, tmp_path, content, says):
    known = bench.draw.mechanisms(mechanisms_in(tmp_path / "mechanisms", leaking=1, healthy=1))
    path = tmp_path / "split.json"
    if content is not None:
        path.write_text(json.dumps(content))
    with pytest.raises(bench.draw.BenchError, match=says):
        bench.draw.read_split(known, path)


def test_the_split_that_is_written_is_the_one_that_is_read(bench, tmp_path):
    known = bench.draw.mechanisms(mechanisms_in(tmp_path / "mechanisms"))
    path = tmp_path / "split.json"
    written = bench.draw.write_split(known, path)
    assert bench.draw.read_split(known, path) == written == bench.draw.write_split(known, path)
    assert all(names == sorted(names) for names in written.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("LEAKS = True\n", "does not state HOST"),
        (MECHANISM.format(leaks=True, rate=None), "LEAKS = True and the rate None"),
        (MECHANISM.format(leaks=False, rate=1.0), "LEAKS = False and the rate 1.0"),
        (MECHANISM.format(leaks=True, rate=0.0), "LEAKS = True and the rate 0.0"),
    ],
)
def test_a_mechanism_that_contradicts_itself_or_states_too_little_is_an_error(bench, tmp_path, text, says):
    (tmp_path / "one.py").write_text(text)
    known = bench.draw.mechanisms(tmp_path)
    counts = (0, 1) if "LEAKS = True" in text else (1, 0)
    with pytest.raises(bench.draw.BenchError, match=says):
        bench.draw.programs("develop", COMMIT, known, {"develop": ["one"], "report": []}, counts)


def test_a_half_that_is_unknown_or_empty_is_an_error(bench):
    with pytest.raises(bench.draw.BenchError, match="no half 'both'"):
        bench.draw.programs("both", COMMIT, {}, {})
    with pytest.raises(bench.draw.BenchError, match="no healthy mechanism"):
        bench.draw.programs("report", COMMIT, {}, {"report": []})


# --- intervals


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 20, 0.0, 0.1684),
        (20, 20, 0.8316, 1.0),
        (5, 20, 0.0866, 0.4910),
        (1, 100, 0.0003, 0.0545),
        (0, 150, 0.0, 0.0243),
    ],
)
def test_a_share_has_the_interval_of_the_tables_of_clopper_and_pearson(bench, count, of, low, high):
    found = bench.intervals.share_interval(count, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
    assert found.value == count / of


@pytest.mark.parametrize(("count", "of"), [(0, 0), (-1, 5), (6, 5)])
def test_no_share_has_no_interval(bench, count, of):
    with pytest.raises(ValueError, match="no share"):
        bench.intervals.share_interval(count, of)


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    [(2.086, 20, 0.025), (1.8125, 10, 0.05), (63.657, 1, 0.005), (0, 7, 0.5), (-2.086, 20, 0.975)],
)
def test_students_tail_is_that_of_the_tables(bench, t, freedom, p):
    assert bench.intervals.student_tail(t, freedom) == pytest.approx(p, abs=2e-5)


def test_a_quantile_has_the_interval_of_its_order_statistics(bench):
    found = bench.intervals.quantile_interval(range(1, 101), 0.5)
    assert (found.value, found.low, found.high) == (50, 40, 61)  # ranks of the tables for n = 100
    assert bench.intervals.quantile_interval([], 0.5) is None
    few = bench.intervals.quantile_interval([3.0, 1.0], 0.95)
    assert (few.value, few.low, few.high) == (3.0, 1.0, 3.0)


def test_the_interval_of_a_median_holds_it_as_often_as_it_says(bench):
    draws = random.Random(1)
    held = 0
    for _ in range(400):
        found = bench.intervals.quantile_interval([draws.expovariate(1) for _ in range(25)], 0.5)
        held += found.low <= 0.6931 <= found.high
    assert held >= 370


# --- rules

MIB = float(1 << 20)


def recorded(bench, *, memory=None, leaks=False, minutes=10.0, operations=60_000, **counts):
    """One program of 60 readings; a resource is a function of the share of the run that has passed."""
    at = np.linspace(0, 1, 60)
    values = {name.replace("__", "."): tuple(float(round(shape(x))) for x in at) for name, shape in counts.items()}
    values["memory.anon"] = tuple(float((memory or (lambda _: 100 * MIB))(x)) for x in at)
    return bench.series.Recorded(
        behaviour="scripted",
        leaks=leaks,
        seconds=tuple(60 * minutes * at),
        operations=tuple(operations * at),
        values=values,
        units={name: "bytes" if name.startswith("memory") else "descriptors" for name in values},
    )


def up(mib):
    return lambda x: (100 + mib * x) * MIB


def steps(each, many):
    return lambda x: 100 * MIB + each * (x * many // 1)


def noisy(scale):
    draws = np.random.default_rng(3)
    return lambda _: 100 * MIB + scale * draws.standard_normal()


SEEN = {name: up(60) for name in ("hive_memlab", "least_squares", "mann_kendall", "mann_kendall_hamed_rao")}
SEEN |= {name: up(60) for name in ("mcp_loadtest", "mcpload", "navian_memcheck", "next_leak", "psleak", "rising_six")}
SEEN |= {"scalene": up(60), "thirds": up(60), "predict_linear": up(60)}
# What each rule's file says that it does not see: a leak that it passes, or a healthy program that it accuses.
BLIND = {
    "hive_memlab": ({"memory": lambda x: (100 + (x if x < 0.3 or x > 0.7 else 0.3)) * MIB}, "clean"),
    "least_squares": ({"memory": lambda x: (100 + 20 * min(x, 0.3)) * MIB}, "leak"),  # a bound, long since reached
    "mann_kendall": ({"memory": lambda x: (100 + 20 * (1 - 2.718 ** (-9 * x))) * MIB}, "leak"),  # a cache that filled
    "mann_kendall_hamed_rao": ({"memory": lambda x: (100 + 20 * (1 - 2.718 ** (-9 * x))) * MIB}, "leak"),
    "mcp_loadtest": ({"fds__file": lambda x: 5000 * x}, "clean"),
    "mcpload": ({"fds__file": lambda x: 4.4 * x}, "clean"),
    "navian_memcheck": ({"memory": up(9)}, "clean"),
    "next_leak": ({"fds__file": lambda x: 5000 * x, "memory": up(0.3)}, "clean"),
    "predict_linear": ({"zombies": lambda x: 500 * x}, "clean"),
    "psleak": ({"fds__file": lambda x: 5000 * x}, "clean"),  # one in twelve calls
    "rising_six": ({"memory": lambda x: (100 + (x if x < 0.3 or x > 0.7 else 0.3)) * MIB}, "clean"),
    "scalene": ({"memory": steps(8 * MIB, 12)}, "clean"),
    "thirds": ({"memory": lambda x: (100 + 20 * (x > 0.5)) * MIB}, "leak"),  # one step
}


def test_each_rule_has_its_leak_and_its_blind_spot_here_and_names_both_source_and_blind_spot(bench):
    assert set(bench.scoring.rules()) == set(SEEN) == set(BLIND)
    for path in bench.scoring.RULES.glob("*.py"):
        text = path.read_text()
        assert "\nSource: " in text, path.name
        assert "\nDoes not see: " in text, path.name


@pytest.mark.parametrize("name", sorted(SEEN))
def test_a_rule_sees_a_leak_and_passes_what_is_flat(bench, name):
    rule = bench.scoring.rules()[name]
    assert rule(recorded(bench, memory=SEEN[name])) == "leak"
    assert rule(recorded(bench)) == "clean"


@pytest.mark.parametrize("name", sorted(BLIND))
def test_a_rule_does_not_see_what_its_file_says(bench, name):
    shapes, answer = BLIND[name]
    assert bench.scoring.rules()[name](recorded(bench, **shapes)) == answer


@pytest.mark.parametrize("name", sorted(SEEN))
def test_a_rule_without_enough_readings_does_not_accuse(bench, name):
    one = recorded(bench, memory=up(60))
    short = {key: values[:2] for key, values in one.values.items()}
    two = bench.series.Recorded(
        **{key: getattr(one, key) for key in ("behaviour", "leaks", "units")},
        seconds=one.seconds[:2],
        operations=one.operations[:2],
        values=short,
    )
    assert bench.scoring.rules()[name](two) == "undecided"


def test_counts_are_seen_by_the_rules_that_read_them(bench):
    leak = recorded(bench, fds__file=lambda x: 5000 * x, threads=lambda x: 5000 * x)
    readers = {name for name, rule in bench.scoring.rules().items() if rule(leak) == "leak"}
    blind = {"mcp_loadtest", "navian_memcheck", "next_leak", "psleak", "scalene"}
    assert readers == set(SEEN) - blind


@pytest.mark.parametrize("name", sorted(SEEN))
def test_a_rule_answers_whatever_the_running_total_of_operations_rounds_to(bench, name):
    for operations in (0.0, 1e-9, 59_999.7, 1234.5678):
        assert bench.scoring.rules()[name](recorded(bench, operations=operations)) in {"clean", "undecided"}


def test_a_saturating_cache_is_not_next_leaks_leak_and_a_fast_count_is_psleaks(bench):
    rules = bench.scoring.rules()
    filling = recorded(bench, memory=lambda x: (100 + 40 * (1 - 2.718 ** (-6 * x))) * MIB)
    assert rules["next_leak"](filling) == "clean"
    assert rules["psleak"](recorded(bench, fds__file=lambda x: 60_000 * x)) == "leak"
    assert rules["psleak"](recorded(bench, memory=lambda x: (100 + 40 * (1 - 2.718 ** (-9 * x))) * MIB)) == "clean"


def test_the_correction_of_hamed_and_rao_makes_a_wandering_series_less_of_a_trend(bench):
    draws = np.random.default_rng(5)
    alarms = Counter()
    for _ in range(200):
        noise, values = draws.standard_normal(60), [0.0]
        for step in noise:
            values.append(0.8 * values[-1] + step)
        for corrected in (False, True):
            alarms[corrected] += bench.trends.mann_kendall(np.array(values), autocorrelated=corrected) < 0.005
    assert alarms[True] < alarms[False] / 2


def test_the_test_of_mann_and_kendall_gives_the_known_probability(bench):
    values = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], dtype=float)
    assert bench.trends.mann_kendall(values) == pytest.approx(4.15e-5, rel=0.01)  # S = 45, variance 125: z = 3.935
    assert bench.trends.mann_kendall(values[::-1].copy()) == pytest.approx(1, abs=1e-4)
    assert bench.trends.mann_kendall(np.ones(10)) == 1.0


# --- scoring


def test_a_rule_is_scored_by_its_answers_about_leaking_and_healthy_programs(bench):
    programs = [recorded(bench, leaks=leaks) for leaks in (True, True, True, False, False)]
    answers = iter(["leak", "clean", "undecided", "leak", "clean"])
    found = bench.scoring.score(lambda _: next(answers), programs).figures()
    assert found["leaks_found"] == {"count": 1, "of": 3, "percent": 33.3, "low": 0.8, "high": 90.6}
    assert (found["false_alarms"]["count"], found["false_alarms"]["of"]) == (1, 2)
    assert (found["undecided_leaking"]["count"], found["undecided_healthy"]["count"]) == (1, 0)


def test_an_answer_that_is_none_of_the_three_is_an_error(bench):
    with pytest.raises(bench.draw.BenchError, match="'maybe'"):
        bench.scoring.score(lambda _: "maybe", [recorded(bench)])


def test_anybodys_rule_is_scored_on_all_that_is_recorded(bench, tmp_path, capsys):
    file = tmp_path / "always.py"
    file.write_text("def rule(series):\n    return 'leak'\n")
    bench.scoring.score_and_print(file, bench.series.OLDER)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        f"recorded/{run}.jsonl.gz, floors" for run in ("r2", "r3")
    ]
    assert all("found 28/28 (87.7–100.0), false 20/20 (83.2–100.0)" in line for line in lines[1:])


@pytest.mark.parametrize(
    ("name", "text"), [("a.py", "x = 1\n"), ("a.py", "rule = 1\n"), ("a.txt", ""), ("none.py", None)]
)
def test_a_file_without_a_rule_is_an_error(bench, tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(bench.draw.BenchError, match="rule"):
        bench.scoring.rule_of(tmp_path / name)


# --- series and what is kept


def audited(**changes):
    """A line of series: pilot, warm-up, four judged rounds, one of confirmation."""
    phases = ["pilot", "warm_up", "warm_up", "main", "quiet", "main", "main", "confirm"]
    count = len(phases)
    line = {
        "id": "a-0",
        "mechanism": "one",
        "leaks": True,
        "rate": 0.5,
        "kinds": ["request:GET /a", "request:GET /b"],
        "phases": phases,
        "seconds": [float(at) for at in range(count)],
        "load_seconds": [0.5] * count,
        "operations": [[1, 1], [2, 2], [4, 4], [10, 5], [0, 0], [5, 10], [10, 10], [100, 0]],
        "resources": {
            "fds.file": {"unit": "files", "statistic": "count", "judged": True, "values": list(range(count))},
            "memory.uss": {"unit": "bytes", "statistic": "level", "judged": False, "values": [0] * count},
        },
        "samples": {
            "seconds": [0.5 * at for at in range(20)],
            **{
                name: [float(at) for at in range(20)]
                for name in ("rss", "anon", "fds", "threads", "processes", "zombies")
            },
        },
    }
    return {**line, **changes}


def test_a_series_starts_after_the_warm_up_and_ends_before_the_confirmation(bench):
    one = bench.series.of_audit(audited())
    assert one.seconds == (2.0, 3.0, 4.0, 5.0, 6.0)
    assert one.values == {"fds.file": (2.0, 3.0, 4.0, 5.0, 6.0)}
    assert one.operations == (14.0, 29.0, 29.0, 44.0, 64.0)
    assert one.played["request:GET /a"] == (4, 10, 0, 5, 10)
    assert one.descriptors().tolist() == [2, 3, 4, 5, 6]
    assert one.memory() is None
    assert one.samples.seconds == tuple(0.5 * at for at in range(4, 15)), "load goes on while a leak is confirmed"
    assert one.samples.values["memory.rss"][0] == 4.0
    assert one.samples.operations[1] == pytest.approx(21.5)  # between two floors: in proportion to time
    assert one.samples.samples is None


@pytest.mark.parametrize("phase", ["idle", "abandon", "wait"])
def test_samples_end_with_the_load(bench, phase):
    phases = [*audited()["phases"][:-1], phase]
    one = bench.series.of_audit(audited(phases=phases))
    assert one.samples.seconds[-1] == 6.0


def test_an_audit_that_never_got_to_its_main_rounds_gives_a_series_of_what_there_is(bench):
    line = audited()
    part = {key: line[key][:2] for key in ("phases", "seconds", "load_seconds", "operations")}
    resources = {"fds.file": {**line["resources"]["fds.file"], "values": [0, 1]}}
    one = bench.series.of_audit({**line, **part, "resources": resources})
    assert one.values == {"fds.file": (1.0,)}
    assert bench.scoring.score(bench.scoring.rules()["thirds"], [one]).leaking == {"undecided": 1}


def test_the_older_floors_are_read_with_what_is_known_of_them(bench):
    for path, fewest in zip(bench.series.OLDER, (22, 33), strict=True):
        every = list(bench.series.recorded(path))
        assert Counter(one.leaks for one in every) == {True: 28, False: 20}
        assert all(len(one.seconds) >= fewest for one in every)
        assert all(len(values) == len(one.seconds) for one in every for values in one.values.values())
        one = next(one for one in every if one.behaviour == "fd:1")
        rate = np.diff(one.values["fds.all"]).sum() / np.diff(one.operations).sum()
        assert rate == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("content", [b"", b"plain\n", gzip.compress(b"{}\n"), gzip.compress(b"no json\n")])
def test_a_file_that_holds_no_series_is_an_error(bench, tmp_path, content):
    path = tmp_path / "series-develop.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(bench.draw.BenchError, match="no file of series"):
        list(bench.series.recorded(path))


def test_a_line_that_a_kill_cut_off_is_dropped_and_the_file_goes_on_whole(bench, tmp_path):
    path = tmp_path / "develop.jsonl"
    bench.keeping.append_line(path, {"id": "a"})
    with path.open("ab") as file:
        file.write(b'{"id":"b"')
    assert bench.keeping.read_lines(path) == [{"id": "a"}]
    bench.keeping.append_line(path, {"id": "c"})
    assert bench.keeping.read_lines(path) == [{"id": "a"}, {"id": "c"}]


@pytest.mark.parametrize("left", [1, 5, 30])
def test_a_member_that_a_kill_cut_off_is_dropped_and_the_last_of_two_counts(bench, tmp_path, left):
    path = tmp_path / "series-develop.jsonl.gz"
    bench.keeping.cut_to_whole(path)  # there is none yet
    bench.keeping.append_series(path, audited())
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:left])
    assert len(list(bench.keeping.read_series(path))) == 1
    bench.keeping.cut_to_whole(path)
    assert path.read_bytes() == whole
    bench.keeping.append_series(path, audited(mechanism="again"))
    assert [one.behaviour for one in bench.series.recorded(path)] == ["again"]


def test_a_file_of_series_that_is_damaged_inside_is_an_error(bench, tmp_path):
    path = tmp_path / "series-develop.jsonl.gz"
    for _ in range(2):
        bench.keeping.append_series(path, audited())
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(zlib.error):
        list(bench.keeping.read_series(path))


def test_a_resource_that_appears_late_keeps_its_level_and_its_break(bench):
    def value(total, growth, *, broken=False):
        return {"total": total, "growth": growth, "broken": broken}

    rounds = [
        {"readings": {"a": value(5.0, 0.0)}, "unread": ["b"]},
        {"readings": {"a": value(9.0, 1.0), "b": value(7.0, 0.0, broken=True)}, "unread": []},
        {"readings": {"a": value(9.0, 2.0), "b": value(8.0, 1.0)}, "unread": []},
    ]
    more = {"phase": "main", "at_seconds": 1.0, "load_seconds": 0.5, "operations": {"k": 3}}
    resource = {"unit": "files", "statistic": "count", "judged": True, "per_process": True}
    document = {
        "rounds": [{**one, **more} for one in rounds],
        "resources": [{"name": name, **resource} for name in ("a", "b", "never")],
    }
    found = bench.keeping.series_of(document, {})["resources"]
    assert found["a"]["values"] == [5.0, 6.0, 7.0]
    assert found["b"]["values"][1:] == [7.0, 8.0]
    assert found["b"]["breaks"] == [0, 1]
    assert set(found) == {"a", "b"}


# --- outcomes and the report


def outcome(*, leaks=True, verdict="leak", accused=(), resource="fds", operation="GET /work", rate=0.1, **more):
    findings = [{"resource": name, "verdict": "leak", "operation": said, "detectable": None} for name, said in accused]
    return {
        "mechanism": more.pop("mechanism", "one"),
        "leaks": leaks,
        "verdict": verdict,
        "resource": resource,
        "kind": "plain",
        "operation": operation if leaks else None,
        "rate": rate if leaks else None,
        "findings": [*findings, *more.pop("findings", ())],
        "seconds": 60.0,
        "confirmed_seconds": None,
        "commit": COMMIT,
        "budget": "60s",
        **more,
    }


@pytest.mark.parametrize(
    ("line", "found", "named", "operation"),
    [
        (outcome(accused=[("fds.file", "request:GET /work?n={n}")]), True, True, True),
        (outcome(accused=[("fds.file", "request:GET /other")]), True, True, False),
        (outcome(accused=[("memory.anon", None)]), True, False, False),
        (outcome(accused=[("threads", "request:GET /work")]), False, False, False),
        (outcome(verdict="undecided", accused=[("fds.file", None)]), False, False, False),
        (outcome(resource="registry", accused=[("heap.blocks", "request:GET /work")]), True, False, True),
        (outcome(resource="registry", accused=[("registry.a:B.c", "request:GET /work")]), True, True, True),
        (outcome(resource="native", operation=None, accused=[("heap.malloc", None)]), True, True, True),
        (outcome(leaks=False, accused=[("fds.file", None)]), False, False, False),
        (outcome(verdict="failed"), False, False, False),
    ],
)
def test_a_leak_is_found_only_by_a_resource_that_grows_with_it(bench, line, found, named, operation):
    outcomes = bench.outcomes
    assert (outcomes.found(line), outcomes.named(line), outcomes.operation_named(line)) == (found, named, operation)
    assert outcomes.false_alarm(line) is (not line["leaks"])
    assert outcomes.wrongly_named(line) is (line["leaks"] and line["verdict"] == "leak" and not found)


def test_a_resource_that_the_bench_does_not_know_is_an_error_that_names_the_mechanism(bench):
    with pytest.raises(KeyError, match="one names the RESOURCE 'moods'"):
        bench.outcomes.found(outcome(resource="moods", accused=[("fds.file", None)]))


def stated(resource, value, unit, per="operation"):
    return {
        "resource": resource,
        "verdict": "clean",
        "operation": None,
        "detectable": {"value": value, "unit": unit, "per": per},
    }


@pytest.mark.parametrize(
    ("line", "above"),
    [
        (outcome(verdict="clean", rate=0.1, findings=[stated("fds.file", 0.05, "files")]), True),
        (outcome(verdict="clean", rate=0.1, findings=[stated("fds.file", 0.2, "files")]), False),
        (outcome(verdict="clean", rate=0.1, findings=[stated("threads", 0.05, "threads")]), None),
        (outcome(verdict="clean", rate=0.1, findings=[stated("fds.file", 0.05, "files", "second")]), None),
        (outcome(verdict="clean", rate=500, resource="heap", findings=[stated("heap.blocks", 1, "blocks")]), None),
        (outcome(verdict="clean", rate=500, resource="heap", findings=[stated("memory.anon", 300, "bytes")]), True),
        (outcome(rate=0.1, accused=[("fds.file", None)], findings=[stated("fds.pipe", 0.2, "pipe ends")]), True),
        (outcome(verdict="failed"), None),
    ],
)
def test_a_true_rate_is_held_against_what_the_audit_says_it_would_have_seen(bench, line, above):
    assert bench.outcomes.above_stated(line) is above


LINES = (
    outcome(accused=[("fds.file", "request:GET /work")], confirmed_seconds=20.0, seconds=30.0),
    outcome(verdict="clean", findings=[stated("fds.file", 0.05, "files")], seconds=50.0),
    outcome(verdict="undecided", mechanism="two", seconds=70.0),
    outcome(verdict="leak", accused=[("threads", None)], mechanism="two", seconds=60.0),
    outcome(leaks=False, verdict="clean", mechanism="fine", seconds=61.0),
    outcome(leaks=False, verdict="leak", accused=[("fds.file", None)], mechanism="fine", seconds=62.0),
    outcome(leaks=False, verdict="not_judged", mechanism="fine", seconds=63.0),
    outcome(leaks=False, verdict="failed", mechanism="fine", seconds=150.0),
)


def test_the_figures_of_hand_made_results_are_the_known_ones(bench):
    found = bench.report.figures(LINES)
    counts = {
        name: (one["count"], one["of"]) for name, one in found.items() if isinstance(one, dict) and "count" in one
    }
    assert counts == {
        "leaks_found": (1, 4),
        "above_stated_found": (1, 2),
        "nothing_stated": (2, 4),
        "own_resource_named": (1, 1),
        "operation_named": (1, 1),
        "false_alarms": (1, 4),
        "wrong_resource_only": (1, 4),
        "undecided_healthy": (1, 4),
        "undecided_leaking": (1, 4),
        "called_clean_leaking": (1, 4),
        "failed": (1, 8),
    }
    assert (found["leaks_found"]["low"], found["leaks_found"]["high"]) == (0.6, 80.6)
    assert (found["seconds_to_verdict"]["n"], found["seconds_to_verdict"]["median"]) == (7, 61.0)
    assert found["seconds_to_confirmed_leak"]["median"] == 20.0


def test_the_table_by_mechanism_counts_each_answer_once(bench):
    rows = bench.outcomes.by_mechanism(LINES)
    assert list(rows) == ["one", "two", "fine"]
    keys = ("n", "found", "false", "undecided", "clean", "failed")
    assert [tuple(row[key] for key in keys) for row in rows.values()] == [
        (2, 1, 0, 0, 1, 0),
        (2, 0, 1, 1, 0, 0),
        (4, 0, 1, 1, 1, 1),
    ]


def test_a_report_is_written_and_a_document_that_quotes_it_is_brought_up_to_date(bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench.report, "ROOT", tmp_path)
    folder = tmp_path / "reports" / "2026-01-01-verdict"
    (tmp_path / "docs").mkdir()
    folder.mkdir(parents=True)
    (tmp_path / "README.md").write_text(bench.report.quotable(folder.name, "report"))
    for line in LINES:
        bench.keeping.append_line(folder / "report.jsonl", line)
    bench.keeping.append_series(folder / "series-report.jsonl.gz", audited())
    bench.report.write(folder)
    assert "| leaks found | 1 of 4 (25.0 %) | 0.6 – 80.6 |" in capsys.readouterr().out
    document = json.loads((folder / "verdict.json").read_text())
    assert document["report"]["rules"]["thirds"]["floors"]["leaks_found"]["of"] == 1
    assert document["report"]["rules"]["thirds"]["samples"]["leaks_found"]["of"] == 1
    quoted = (tmp_path / "README.md").read_text()
    assert "#report.figures.leaks_found.count-->1<!--/figure-->" in quoted
    assert "-->?<!--" not in quoted


def test_a_folder_without_results_is_an_error_that_says_what_to_do(bench, tmp_path):
    with pytest.raises(bench.draw.BenchError, match=r"run .* report"):
        bench.report.write(tmp_path)


# --- sampling and running


def test_a_tree_is_summed_over_its_processes_and_is_none_once_it_is_gone(bench):
    code = (
        "import os, subprocess, sys; c = subprocess.Popen(['sleep', '100']); print(c.pid, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        grandchild = int(child.stdout.readline())
        row = bench.sampling.tree(child.pid)
        assert (row["processes"], row["zombies"], row["threads"]) == (2, 0, 2)
        assert row["rss"] > row["anon"] > 0
        assert row["fds"] >= 6
        os.kill(grandchild, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while bench.sampling.tree(child.pid)["zombies"] != 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        row = bench.sampling.tree(child.pid)
        assert (row["processes"], row["zombies"]) == (1, 1)
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
    assert bench.sampling.tree(child.pid) is None


def test_the_audited_process_is_named_by_a_whole_line_of_the_journal_only(bench, tmp_path):
    path = tmp_path / "journal.jsonl"
    assert bench.sampling.target_pid(path) is None
    line = b'{"event":"target","target":{"pid":47}}'
    path.write_bytes(b'{"event":"plan"}\n' + line)
    assert bench.sampling.target_pid(path) is None
    path.write_bytes(b'{"event":"plan"}\n' + line + b"\n")
    assert bench.sampling.target_pid(path) == 47


def test_a_sampler_ends_when_told_to_though_there_never_was_a_journal(bench, tmp_path):
    sampler = bench.sampling.Sampler(tmp_path / "journal.jsonl")
    sampler.start()
    columns = sampler.stop()
    assert not sampler.is_alive()
    assert columns == {name: [] for name in bench.sampling.COLUMNS}


AUDIT = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[1]); out.mkdir()
value = {"total": 1.0, "growth": 0.0, "broken": False}
one = {"phase": "main", "at_seconds": 1.0, "load_seconds": 0.5, "operations": {"request:GET /work": 3},
       "readings": {"threads": value}, "unread": []}
resource = {"name": "threads", "unit": "threads", "statistic": "count", "judged": True, "per_process": True}
(out / "audit.json").write_text(json.dumps({"verdict": "clean", "findings": [], "tool": {}, "warnings": [str(out)],
    "rounds": [one], "resources": [resource]}))
"""


def benched(bench, tmp_path, *, code=AUDIT, **settings):
    """A bench whose audits are a script that takes the folder of results."""
    known = bench.draw.mechanisms(mechanisms_in(tmp_path / "mechanisms", leaking=1, healthy=1))
    programs = bench.draw.programs("develop", COMMIT, known, {"develop": [*known], "report": []}, (2, 1))
    setting = bench.run.Bench(folder=tmp_path / "out", half="develop", commit=COMMIT, **settings)
    return known, programs, setting, lambda _m, _p, _b, out: [sys.executable, "-c", code, str(out)]


def test_results_are_kept_a_line_a_program_and_a_second_start_does_what_is_left(bench, tmp_path, monkeypatch, capsys):
    known, programs, setting, command = benched(bench, tmp_path)
    monkeypatch.setattr(bench.run, "audit_command", command)
    bench.run.run(setting, programs[:2], known)
    bench.run.run(setting, programs, known)
    said = capsys.readouterr().out
    assert "0 of 2 programs are done" in said
    assert "2 of 3 programs are done, 1 are left" in said
    lines = bench.keeping.read_lines(setting.results)
    assert [line["id"] for line in lines] == [one.id for one in programs]
    assert all(line["verdict"] == "clean" and line["played"] == {"request:GET /work": 3} for line in lines)
    assert lines[0]["warnings"] == ["TMP/audit"]
    assert [one["id"] for one in bench.keeping.read_series(setting.series)] == [one.id for one in programs]


def test_programs_of_another_commit_are_not_mixed_into_a_folder(bench, tmp_path, monkeypatch):
    known, programs, setting, command = benched(bench, tmp_path)
    monkeypatch.setattr(bench.run, "audit_command", command)
    bench.run.run(setting, programs[:1], known)
    other = bench.run.Bench(folder=setting.folder, half="develop", commit=COMMIT[::-1])
    with pytest.raises(bench.draw.BenchError, match="go on with --commit"):
        bench.run.run(other, programs, known)


def test_audits_that_fail_one_after_the_other_stop_the_run_and_say_why(bench, tmp_path, monkeypatch):
    known, programs, setting, command = benched(bench, tmp_path, code="raise SystemExit('no such thing')")
    monkeypatch.setattr(bench.run, "audit_command", command)
    with pytest.raises(bench.draw.BenchError, match="no such thing"):
        bench.run.run(setting, programs, known)
    assert [line["verdict"] for line in bench.keeping.read_lines(setting.results)] == ["failed"] * 3
    assert not setting.series.exists()


def test_an_audit_that_does_not_end_is_ended_and_counts_as_failed(bench, tmp_path, monkeypatch):
    code = "import time\nwhile True: time.sleep(1)"
    known, programs, setting, command = benched(bench, tmp_path, code=code, most_seconds=0.3)
    monkeypatch.setattr(bench.run, "audit_command", command)
    bench.run.run(setting, programs[:1], known)
    (line,) = bench.keeping.read_lines(setting.results)
    assert (line["verdict"], line["exit_code"]) == ("failed", None)
    assert "not done after" in line["said"]
    assert psutil.Process().children() == []


def test_an_audit_is_told_the_requests_and_the_command_and_nothing_else(bench, tmp_path):
    known, programs, setting, _ = benched(bench, tmp_path)
    arguments = bench.run.audit_command(known["leak_0"], programs[0], setting, tmp_path / "audit")
    before, after = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    assert before[1:] == [
        *("audit", "--json", "--budget", "60s", "--out", str(tmp_path / "audit")),
        *("--request", "GET http://127.0.0.1:{port}/work?n={n}"),
        *("--request", "POST http://127.0.0.1:{port}/other {{}}"),
    ]
    assert after[:4] == [sys.executable, str(known["leak_0"].folder / "leak_0.py"), "--port", "{port}"]
    assert json.loads(after[-1]) == programs[0].parameters


def test_a_node_program_is_started_without_the_wheels_python_wrapper(bench):
    name = next(name for name in bench.draw.mechanisms() if name.startswith("node_"))
    started, script, *_ = bench.run.command(bench.draw.mechanisms()[name], {})
    assert Path(script).name == f"{name}.js"
    with Path(started).open("rb") as file:
        assert file.read(4) == b"\x7fELF"


def test_an_interrupted_run_ends_audit_and_program_and_keeps_no_part_of_a_result(tmp_path):
    folder = tmp_path / "mechanisms"
    folder.mkdir()
    text = MECHANISM.format(leaks=True, rate='parameters["rate"]').replace("{{}}", "{}")
    (folder / "one.py").write_text(text.replace("?n={n}", "") + SERVER)
    (tmp_path / "split.json").write_text('{"develop": ["one"], "report": []}')
    options = ("--healthy", "0", "--leaking", "1", "--commit", COMMIT, "--mechanisms", folder)
    command = [sys.executable, "-P", BENCH, "run", tmp_path / "out", "develop", *options]
    bench = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
    )
    try:
        below = []
        deadline = time.monotonic() + 60
        while not any("one.py" in argument for one in below for argument in _arguments(one)):
            assert time.monotonic() < deadline, "the program was never started"
            assert bench.poll() is None, bench.stdout.read()
            time.sleep(0.05)
            below = psutil.Process(bench.pid).children(recursive=True)
        bench.send_signal(signal.SIGINT)
        said, _ = bench.communicate(timeout=60)
    finally:
        bench.kill()
        bench.wait()
        bench.stdout.close()
    assert bench.returncode == 130
    assert "the same command goes on" in said
    assert psutil.wait_procs(below, timeout=20)[1] == []
    assert not (tmp_path / "out" / "develop.jsonl").exists()


def _arguments(process):
    try:
        return process.cmdline()[1:2]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "COMMAND"),
        (("run", "x", "both"), 2, "invalid choice: 'both'"),
        (("run", "x", "report", "--commit", "main"), 2, "is no commit"),
        (("run", "x", "report", "--healthy", "-1"), 2, "no number of programs"),
        (("run", "x", "report", "--healthy", "few"), 2, "no number of programs"),
        (("report", "/nowhere"), 1, "holds no results"),
        (("score", "/nowhere.py"), 1, "is no Python file"),
        (("score", str(BENCH / "rules" / "thirds.py"), "/nowhere.gz"), 1, "is missing"),
    ],
)
def test_wrong_usage_is_answered_in_a_sentence(arguments, code, says):
    done = subprocess.run(
        [sys.executable, "-P", str(BENCH), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


# --- power


def background(bench, **shapes):
    one = recorded(bench, memory=noisy(20_000), minutes=1, operations=12_000, **shapes)
    odd = [200 if at % 2 else 100 for at in range(60)]
    played = {"a": tuple(odd), "b": tuple(300 - count for count in odd)}
    return bench.series.Recorded(
        **{key: getattr(one, key) for key in ("behaviour", "leaks", "seconds", "operations", "values", "units")},
        played=played,
    )


@pytest.mark.parametrize("seconds", [60, 300])
def test_a_background_lasts_as_long_as_its_horizon_and_does_not_grow(bench, seconds):
    program = background(bench, fds__file=lambda x: 10 + 5 * x)  # grows in its minute, and mirrored comes back
    found = bench.power.background(program, "fds.file", seconds)
    assert found.seconds[-1] == pytest.approx(seconds, rel=0.03)
    assert np.sum(found.operations) == pytest.approx(seconds * bench.power.PER_SECOND, rel=0.01)
    assert set(found.values) <= set(program.values["fds.file"])
    assert found.operations[0] == (0, 0)
    assert len(found.values) == len(found.operations) == len(found.seconds)
    assert bench.power.background(program, "threads", seconds) is None


@pytest.mark.parametrize(("name", "small", "large"), [("fds.file", 1 / 50_000, 1 / 20), ("memory.anon", 4.0, 16_384.0)])
def test_a_large_planted_leak_is_accused_and_a_tiny_or_no_leak_is_not(bench, name, small, large):
    one = bench.power.background(background(bench, fds__file=lambda _: 10), name, 60)
    assert not bench.power.accused(one)
    assert not bench.power.accused(bench.power.planted(one, small, 0))
    leak = bench.power.planted(one, large, 0)
    grown = leak.values[-1] - one.values[-1]
    assert grown == pytest.approx(large * np.sum(one.operations, axis=0)[0], rel=0.35)
    assert bench.power.accused(leak)
    assert bench.power.planted(one, large, 0) == leak


def test_the_smallest_leak_is_the_one_from_which_on_all_are_found(bench):
    shared = {"resource": "fds", "unit": "files", "seconds": 60, "operations": 12_000, "n": 20, "backgrounds": 10}
    powers = [(0.1, 0.2), (0.2, 0.97), (0.4, 0.9), (0.8, 0.96), (1.6, 1.0)]
    rows = [{**shared, "left_out": 0, "rate": rate, "power": power, "low": 0, "high": 1} for rate, power in powers]
    assert [one["rate"] for one in bench.power.smallest(rows)] == [0.8]
    assert [one["rate"] for one in bench.power.smallest(rows[:3])] == [None]


@pytest.mark.slow
@pytest.mark.share(4)
@pytest.mark.parametrize("leaks", [False, True], ids=["healthy", "leaking"])
def test_a_program_that_the_commit_draws_is_judged_as_it_is(tmp_path, leaks):
    """A share of the bench: one program of the half that rules were developed on."""
    arguments = ("run", tmp_path, "develop", "--healthy", str(int(not leaks)), "--leaking", str(int(leaks)))
    finished = subprocess.run(
        [sys.executable, "-P", BENCH, *arguments], capture_output=True, text=True, check=False, timeout=280
    )
    assert finished.returncode == 0, finished.stderr
    for line in map(json.loads, (tmp_path / "develop.jsonl").read_text().splitlines()):
        accused = [one for one in line["findings"] if one["verdict"] == "leak"]
        if line["leaks"]:
            assert line["verdict"] != "failed", line
            assert accused or _is_below_what_is_stated(line), line
        else:
            assert accused == [], line


def _is_below_what_is_stated(line):
    stated = [one["detectable"]["value"] for one in line["findings"] if one["detectable"]]
    return line["verdict"] == "undecided" or not stated or line["rate"] < max(stated)
