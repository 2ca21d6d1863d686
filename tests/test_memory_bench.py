"""The bench of memories: its vectors, its exact neighbours, its engines that need nothing more, its report."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parent.parent / "reports" / "memory"


@pytest.fixture
def bench(monkeypatch):
    """The bench's modules, as its own command sees them."""
    monkeypatch.syspath_prepend(str(BENCH))
    mine = [path.stem for path in BENCH.glob("*.py")]  # other folders of reports/ have modules of the same names
    theirs = {name: sys.modules.pop(name) for name in mine if name in sys.modules}
    yield {
        name: importlib.import_module(name) for name in ("engines", "measuring", "playing", "report", "sets", "vectors")
    }
    for name in (*mine, "engines"):
        sys.modules.pop(name, None)
    sys.modules.update(theirs)


@pytest.fixture
def small(bench, monkeypatch):
    """Sets of a few vectors of few dimensions."""
    monkeypatch.setattr(bench["sets"], "DIMENSIONS", 64)
    monkeypatch.setattr(bench["vectors"], "BLOCK", 100)
    monkeypatch.setattr(bench["sets"], "BLOCK", 100)
    monkeypatch.setattr(bench["sets"], "QUERIES", 30)
    monkeypatch.setattr(bench["sets"], "_MORE", 60)
    made = bench["vectors"].Vectors
    monkeypatch.setattr(bench["sets"], "Vectors", lambda kind, count: made(kind, count, 64))
    return bench


@pytest.mark.parametrize("kind", ["easy", "hard"])
def test_vectors_are_units_and_the_same_for_the_same_number_whatever_was_made_before(bench, kind):
    made = bench["vectors"].Vectors(bench["vectors"].KINDS[kind], 25_000, 64)
    first, _, last = made.blocks()
    assert len(last) == 5_000
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    again = bench["vectors"].Vectors(bench["vectors"].KINDS[kind], 25_000, 64)
    assert np.array_equal(list(again.blocks())[2], last)
    queries = made.queries(50)
    assert (queries @ first.T).max() < 0.9999, "no query is in the set"


def test_exact_neighbours_are_those_of_a_product_with_everything(small, tmp_path):
    made = small["sets"].Set("hard", 450, tmp_path)
    made.make()
    made.find(430, 10, (0.5, 0.01))
    rows = np.concatenate(list(made.batches(77)))[:430]
    for query, found in zip(made.queries, made.true(430), strict=True):
        assert found == np.argsort(-(rows @ query), kind="stable")[:10].tolist()
    worth = small["engines"].importance(np.arange(430))
    fits = np.flatnonzero(worth >= 0.5)
    for query, found in zip(made.queries, made.true(430, 0.5), strict=True):
        assert found == fits[np.argsort(-(rows[fits] @ query), kind="stable")[:10]].tolist()
    few = made.true(430, 0.01)
    assert all(number == -1 or worth[number] >= 0.99 for one in few for number in one)


@pytest.mark.parametrize("name", ["faiss_flat", "faiss_hnsw", "mimo", "numpy_float32"])
def test_an_engine_does_what_its_contract_says(bench, tmp_path, name):
    chance = np.random.default_rng(2)
    rows = chance.normal(size=(300, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    made = bench["engines"].engine(name)
    used = made(tmp_path, 64)
    used.add(0, rows[:200])
    used.add(200, rows[200:299])
    used.add(299, rows[299:])
    assert [used.search(rows[number], 10)[0] for number in (0, 199, 250, 299)] == [0, 199, 250, 299]
    found = np.array(used.search_among(rows[5], 10, 0.5))
    assert (bench["engines"].importance(found) >= 0.5).all()
    if name == "faiss_hnsw":
        with pytest.raises(NotImplementedError):
            used.remove([5])
    else:
        used.remove([5])
        assert 5 not in used.search(rows[5], 10)
    used.close()
    if used.is_kept:
        again = made(tmp_path, 64)
        assert again.search(rows[250], 1)[0] == 250
        again.close()


def test_a_set_that_an_index_of_clusters_finds_its_way_in_is_not_hard(small, tmp_path, monkeypatch):
    hard = importlib.import_module("hard")
    monkeypatch.setattr(hard, "LISTS", 4)
    monkeypatch.setattr(hard, "PROBES", 4)
    easy = small["sets"].Set("hard", 500, tmp_path)
    with pytest.raises(ValueError, match=r"not hard: IVF4 at nprobe 4 finds 1\.0"):
        hard.assert_hard(tmp_path, easy)
    monkeypatch.setattr(hard, "LISTS", 64)
    monkeypatch.setattr(hard, "PROBES", 1)
    (tmp_path / "hard.json").unlink()
    hard.assert_hard(tmp_path, easy)
    assert json.loads((tmp_path / "hard.json").read_text())["recall_at_10"] < hard.MOST_RECALL


def test_growth_is_fitted_with_its_interval(bench):
    straight = bench["report"].exponent([(10**power, 3.0 * 10 ** (power / 2)) for power in range(4, 8)])
    assert straight == {"value": 0.5, "low": 0.5, "high": 0.5}
    noisy = bench["report"].exponent([(1e4, 1.0), (1e5, 2.5), (1e6, 4.5)])
    assert noisy["low"] < noisy["value"] < noisy["high"]


@pytest.mark.share(6)
def test_one_engine_is_measured_from_end_to_end_and_told_in_a_table(tmp_path):
    """A run as a user starts it, of the smallest size, of the one engine that needs no other package."""
    pytest.importorskip("faiss")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import playing, report; from pathlib import Path\n"
        "playing.SIZES = (1_000,); playing._KINDS = ('hard',)\n"
        "folder = Path(sys.argv[2]); code = playing.play(folder, ['mimo'], folder / 'vectors', 1_000)\n"
        "report.write(folder); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(BENCH), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())["engines"]["mimo"]["hard"]["1000"]
    assert figures["reached"] == "all"
    assert figures["recall_at_10"] > 0.9
    assert figures["cold"]["p50_ms"] > 0
    assert figures["start_after_kill_seconds"] > 0
    assert {way: one["pairs"] for way, one in figures["durable"].items()} == {
        "callers_64": 7,
        "caller_1": 7,
        "batches_of_100": 7,
    }
    assert 30 < figures["durable"]["callers_64"]["in_a_commit"] <= 64
    assert set(figures["filtered"]) == {"0.5", "0.1", "0.01", "0.001"}
    assert "## 1,000 vectors, hard" in done.stdout
