"""What is made of runs: bases, stopped sizes, projections, and pages that hostile words cannot break."""

import io

import pytest
from rich.console import Console

from leakcheck.credentials import Secrets
from leakcheck.model.sweep import SWEEP_SCHEMA, Amount, Claim, Origin, Outcome, Point
from leakcheck.render import sweep_html, sweep_json, sweep_markdown
from leakcheck.render.sweep_terminal import print_sweep
from leakcheck.sweep.concluding import conclude
from leakcheck.sweep.plan import CommandWork, SweepPlan, Variant

MIB = 1024.0 * 1024.0
HOSTILE = "<script>alert(1)</script>\x1b[31m|\u202e"


def plan(variant, claims=()):
    return SweepPlan(
        file="plan.toml",
        name=HOSTILE,
        here=".",
        cap_bytes=1024 * MIB,
        repeats=1,
        quiet_seconds=1.0,
        ready_seconds=1.0,
        call_seconds=1.0,
        work_seconds=1.0,
        reopen=False,
        variants=(variant,),
        claims=tuple(claims),
    )


def variant(*, seeded=False, sizes=(1_000, 2_000, 4_000, 8_000)):
    command = ("server", "--token", "s3cret-of-no-value", *(("{size}",) if seeded else ()))
    return Variant(name="v", command=command, sizes=sizes, fill=None if seeded else CommandWork(command=("fill",)))


def point(size, outcome=Outcome.DONE, reason="", **mib):
    amounts = {
        name.replace("_", "."): Amount(value=value * MIB, low=value * MIB, high=value * MIB, unit="bytes")
        for name, value in mib.items()
    }
    return Point(
        schema=SWEEP_SCHEMA,
        digest="d",
        variant="v",
        size=size,
        repeat=1,
        at="2026-11-27T12:00:00+00:00",
        outcome=outcome,
        reason=reason,
        amounts=amounts,
    )


def concluded(variant, points, claims=(), ended="finished"):
    return conclude(plan(variant, claims), points, ended, Secrets())


def series(sweep, quantity):
    (one,) = (one for one in sweep.series if one.quantity == quantity)
    return one


def test_the_base_is_what_was_read_before_each_fill():
    points = [point(size, memory_anon_empty=40, memory_anon_filled=40 + size / 100) for size in (1_000, 2_000, 4_000)]
    growth = series(concluded(variant(), points), "memory.anon.filled").growth
    assert (growth.base, growth.exponent) == (40 * MIB, pytest.approx(1.0))


def test_a_server_that_fills_itself_has_its_empty_state_at_size_0():
    sizes = (0, 1_000, 2_000, 4_000)
    points = [point(size, memory_anon_empty=99, memory_anon_filled=40 + size / 100) for size in sizes]
    sweep = concluded(variant(seeded=True), points)
    growth = series(sweep, "memory.anon.filled").growth
    assert (growth.base, growth.exponent) == (40 * MIB, pytest.approx(1.0))
    assert [cell.size for cell in series(sweep, "memory.anon.filled").cells] == [1_000, 2_000, 4_000, 8_000]
    assert not [one for one in sweep.series if one.quantity.endswith(".empty")]


def test_a_stopped_size_keeps_what_was_read_of_it_and_the_rest_is_projected():
    points = [
        point(size, memory_anon_empty=0, memory_anon_filled=size / 10, memory_anon_peak=size / 5)
        for size in (1_000, 2_000)
    ]
    points.append(point(4_000, Outcome.STOPPED, "above the cap", memory_anon_empty=0, memory_anon_filled=400))
    sweep = concluded(variant(), points)
    filled, peak = (series(sweep, f"memory.anon.{name}").cells for name in ("filled", "peak"))
    assert [cell.origin for cell in filled] == [Origin.MEASURED] * 3 + [Origin.PROJECTED]
    assert filled[3].value == pytest.approx(800 * MIB)
    assert [cell.origin for cell in peak] == [Origin.MEASURED] * 2 + [Origin.PROJECTED] * 2
    assert peak[2].reason == "stopped: above the cap"
    assert peak[3].reason == "not run: 4,000 was stopped at the cap"


def test_a_size_that_only_a_claim_speaks_of_is_projected_for_it():
    claim = Claim(
        quantity="memory.anon.filled", variant="v", size=100_000, low=9e9, high=12e9, unit="bytes", words=HOSTILE
    )
    noisy = {1_000: 100, 2_000: 201, 4_000: 399, 8_000: 802}
    points = [point(size, memory_anon_empty=0, memory_anon_filled=mib) for size, mib in noisy.items()]
    sweep = concluded(variant(), points, [claim])
    (judged,) = sweep.claims
    assert (judged.verdict.value, judged.cell.origin) == ("confirmed", Origin.PROJECTED)


@pytest.mark.parametrize("ended", ["finished", "interrupted"])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_every_output_stands_hostile_words_and_any_number_of_runs(count, ended):
    claim = Claim(quantity="memory.anon.rest", variant="v", size=8_000, low=1.0, high=2.0, unit="bytes", source=HOSTILE)
    sizes = (1_000, 2_000, 4_000, 8_000)[:count]
    points = [point(size, Outcome.FAILED, HOSTILE, memory_anon_rest=size) for size in sizes]
    sweep = concluded(variant(), points, [claim], ended)
    page, text = sweep_html.render(sweep).decode(), sweep_markdown.render(sweep).decode()
    file = io.StringIO()
    print_sweep(sweep, "out", Console(file=file, width=80))
    for shown in (page, text, file.getvalue()):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "<script" not in page + text
    assert "s3cret" not in page + text + sweep_json.render(sweep).decode()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} <= {6, 8}
    assert ("Interrupted" in page) is (ended == "interrupted")
