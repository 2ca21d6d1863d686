"""A header that anybody can write changes nothing: each call says that it comes from another address.

Wrong: an answer that differs, a refusal; and in an audit, something kept for each address (rate_keys).
"""

from __future__ import annotations

import ipaddress
import random

from locust import task

from loadtests.checked import CheckedUser, content, must, phrase, round_trip


class Headers(CheckedUser):
    """Comes from everywhere."""

    @task
    @round_trip
    def forwards(self) -> None:
        """The same list, and one's own echo, from an address that was never seen before."""
        number = random.getrandbits(128)
        address = ipaddress.IPv6Address(number) if number % 2 else ipaddress.IPv4Address(number >> 96)
        headers = {
            "X-Forwarded-For": f"{address}, 10.0.0.1",
            "Forwarded": f'for="{address}"',
            "X-Real-IP": f"{address}",
        }
        plain, forwarded = self.answer("tools/list", None), self.answer("tools/list", None, headers)
        must(plain == forwarded, f"tools/list says something else when {address} is in a header: {forwarded}")
        text = phrase()
        call = {"name": "skill_echo", "arguments": {"text": text}}
        said = content("skill_echo", self.answer("tools/call", call, headers))
        must(said == {"text": text}, f"from {address}: {text!r} was to be said back, and {said} came")
