"""Waiting for an end that must not be left halfway."""

from __future__ import annotations

import asyncio
from typing import TypeVar

Result = TypeVar("Result")


async def finished(work: asyncio.Future[Result]) -> Result:
    """Its result, waited for although the caller is cancelled meanwhile; the cancellation is passed on afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return work.result()
