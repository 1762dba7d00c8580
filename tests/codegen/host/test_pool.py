"""The pool does every unit exactly once, whatever its helpers are doing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dlc.compiler.codegen.host.address import int64_at, load_acquire, pause, store_release
from dlc.compiler.codegen.host.kernels import address_of, kernel
from dlc.compiler.codegen.host.launch import help_out, launch
from dlc.compiler.codegen.host.pool import LINE, OPEN, Pool


@kernel(cache=False)
def count_unit(args: int, first: int, last: int) -> None:
    block = int64_at(args)
    counts = int64_at(block[0])
    for unit in range(first, last):
        value = counts[unit]
        for _ in range(block[1]):  # work that the compiler cannot leave out
            value = (value * 6364136223846793005 + 1442695040888963407) ^ (value >> 7)
        counts[unit] += 1 + (value == 12345)


@kernel("void(intp, intp, intp, intp)", cache=False)
def launch_times(pool: int, args: int, units: int, times: int) -> None:
    for _ in range(times):
        launch(pool, address_of(count_unit), args, units)


def pool_of(threads: int) -> Pool:
    return Pool(threads, lambda: help_out.address)


class Counts:
    """How often each unit was done."""

    def __init__(self, units: int, work: int = 0) -> None:
        self.done = np.zeros(units, np.int64)
        self.block = np.array([self.done.ctypes.data, work])

    @property
    def args(self) -> int:
        return int(self.block.ctypes.data)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_each_unit_once(threads: int) -> None:
    """2,000 launches of random sizes, with and without work in a unit."""
    rng = np.random.default_rng(threads)
    pool = pool_of(threads)
    counts = Counts(64)
    expected = np.zeros(64, np.int64)
    with pool:
        for _ in range(2_000):
            units, counts.block[1] = int(rng.integers(0, 65)), int(rng.integers(0, 50))
            launch_times(pool.address, counts.args, units, 1)
            expected[:units] += 1
            assert np.array_equal(counts.done, expected)
    pool.close()


def test_many_launches_in_one_program() -> None:
    pool, counts = pool_of(2), Counts(40, work=20)
    with pool:
        launch_times(pool.address, counts.args, 40, 20_000)
    assert (counts.done == 20_000).all()


def test_without_a_pool() -> None:
    counts = Counts(9)
    launch_times(0, counts.args, 9, 3)
    assert (counts.done == 3).all()


@kernel(cache=False)
def meet(args: int, first: int, last: int) -> None:
    """Unit 0 waits until unit 1 has been done; its count tells whether that came about."""
    counts = int64_at(args)[0]
    for unit in range(first, last):
        if unit == 1:
            store_release(counts + 8, 1)
        else:
            for _ in range(300_000_000):
                if load_acquire(counts + 8) == 1:
                    store_release(counts, 1)
                    break
                pause()


@kernel("void(intp, intp)", cache=False)
def launch_meeting(pool: int, args: int) -> None:
    launch(pool, address_of(meet), args, 2)


def test_helpers_take_part() -> None:
    """The caller is held in unit 0 until somebody else does unit 1."""
    pool = pool_of(2)
    with pool:
        for _ in range(20):
            counts = Counts(2)
            launch_meeting(pool.address, counts.args)
            assert (counts.done == 1).all()


def test_parked_helpers_hold_nothing_up() -> None:
    """Launches outside `with pool`, when every helper is parked, are done by the caller."""
    pool, counts = pool_of(3), Counts(30)
    with pool:
        launch_times(pool.address, counts.args, 30, 1)
    time.sleep(0.1)
    launch_times(pool.address, counts.args, 30, 10)
    assert (counts.done == 11).all()


def test_helpers_park_after_an_error() -> None:
    pool, counts = pool_of(2), Counts(8)

    def interrupted() -> None:
        with pool:
            launch_times(pool.address, counts.args, 8, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert pool.block[0, OPEN] == 0
    with pool, pool:
        launch_times(pool.address, counts.args, 8, 1)
    assert pool.block[0, OPEN] == 0
    assert (counts.done == 2).all()


def test_several_pools_at_once() -> None:
    """Each of three Python threads with a pool of its own, and two that take turns in one."""
    shared = pool_of(2)
    results = [Counts(33, work=30) for _ in range(5)]

    def work(number: int) -> None:
        pool = shared if number < 2 else pool_of(2)
        for _ in range(40):
            with pool:
                launch_times(pool.address, results[number].args, 33, 25)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all((counts.done == 1000).all() for counts in results)


def test_forgotten_pools_end_their_helpers() -> None:
    pool, counts = pool_of(3), Counts(8)
    with pool:
        launch_times(pool.address, counts.args, 8, 1)
    helpers = pool.helpers
    del pool
    for helper in helpers:
        helper.join(5)
        assert not helper.is_alive()


def test_closed_pool_still_works() -> None:
    pool, counts = pool_of(2), Counts(8)
    pool.close()
    with pool:
        launch_times(pool.address, counts.args, 8, 2)
    assert (counts.done == 2).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_forked_process_starts_its_own_helpers() -> None:
    pool, counts = pool_of(2), Counts(50, work=100)
    with pool:
        launch_times(pool.address, counts.args, 50, 10)
    child = os.fork()
    if child == 0:
        with pool:
            launch_times(pool.address, counts.args, 50, 10)
        os._exit(0 if (counts.done == 20).all() and pool.process == os.getpid() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_process_ends_in_the_middle_of_a_program() -> None:
    """Leaving with spinning helpers neither hangs nor crashes."""
    text = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_pool import Counts, launch_times, pool_of\n"
        "pool, counts = pool_of(3), Counts(50)\n"
        "pool.__enter__()\n"
        "launch_times(pool.address, counts.args, 50, 10)\n"
        "sys.exit(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (7, "")


def test_no_thread_shares_a_line() -> None:
    pool = pool_of(4)
    assert pool.address % 64 == 0
    assert pool.block.strides[0] == 8 * LINE == 64


def test_a_pool_has_a_thread() -> None:
    with pytest.raises(ValueError, match="at least 1 thread, and 0"):
        pool_of(0)
