"""How many threads there may be, and loops that are shared out among them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def usable_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(function: Callable[[Given], Made], items: Iterable[Given], threads: int) -> list[Made]:
    """`[function(item) for item in items]`, on several threads; the first exception is raised."""
    items = list(items)
    if threads == 1 or len(items) < 2:
        return [function(item) for item in items]
    pool = ThreadPoolExecutor(min(threads, len(items)))
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ahead(function: Callable[[Given], Made], items: Iterable[Given], threads: int) -> Iterator[Made]:
    """The same one by one, in order: while one result is used, the next few are being made."""
    if threads == 1:
        yield from map(function, items)
        return
    pool, making, rest = ThreadPoolExecutor(threads), deque[Future[Made]](), iter(items)
    try:
        for item in rest:
            making.append(pool.submit(function, item))
            if len(making) > threads:
                yield making.popleft().result()
        while making:
            yield making.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
