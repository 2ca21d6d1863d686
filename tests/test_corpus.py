"""The corpus of the load tests: the same for the same number, and found by its own word."""

import base64
import hashlib
import struct

from loadtests import corpus

TEXTS = "75fb0e02c735c690"
VECTOR = "f7774fdbc6281542"
MEMORY = {
    "content": "kababababababa tifikat vomikat nofifin tinofin fipufin kazygor dekahus xukafin banokat lebabal",
    "category": "observation",
    "importance": 0.27,
    "metadata": {"number": 5},
}


def test_it_is_the_same_on_every_machine():
    texts = "\n".join(corpus.text(number) for number in (0, 1, 999_999))
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == TEXTS
    assert hashlib.sha256(corpus.vector(7, 1536).encode()).hexdigest()[:16] == VECTOR
    assert corpus.memory(5) == MEMORY


def test_every_text_has_a_word_that_no_other_has():
    own = {corpus.own_word(number) for number in range(20_000)}
    assert len(own) == 20_000
    common = {word for number in range(2000) for word in corpus.words(number)[1:]}
    assert 1000 < len(common) <= 2048
    assert not own & common
    assert corpus.part(3).split()[0] == corpus.own_word(3)
    assert len(corpus.text(3).split()) == 11


def test_vectors_of_a_topic_are_near_and_others_are_not():
    def values(number):
        return struct.unpack("<1536f", base64.b64decode(corpus.vector(number, 1536)))

    def cosine(one, other):
        dot = sum(a * b for a, b in zip(one, other, strict=True))
        return dot / (sum(a * a for a in one) * sum(b * b for b in other)) ** 0.5

    same, near, far = values(0), values(64), values(1)
    assert cosine(same, near) > 0.1 + cosine(same, far)
    assert abs(cosine(same, far)) < 0.1
