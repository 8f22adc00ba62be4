"""Which device is taken, what is said about it, and what counts as running out of memory."""

from __future__ import annotations

import sys
import threading
import types

import numpy as np
import pytest
import scipy.fft

from plugin_core import backend


@pytest.fixture
def fake_cupy(monkeypatch):
    """Return a function that installs a CuPy which sees `count` GPUs, or raises `error`."""

    def install(count: int = 0, error: Exception | None = None) -> None:
        def device_count() -> int:
            if error is not None:
                raise error
            return count

        runtime = types.SimpleNamespace(
            getDeviceCount=device_count,
            getDeviceProperties=lambda index: {"name": b"Fake GPU"},
            memGetInfo=lambda: (3_000, 4_000),
        )
        device = type(
            "Device",
            (),
            {
                "__init__": lambda self, index: None,
                "__enter__": lambda self: self,
                "__exit__": lambda self, *error: None,
                "use": lambda self: None,
            },
        )
        cupy = types.ModuleType("cupy")
        cupy.cuda = types.SimpleNamespace(runtime=runtime, Device=device)
        monkeypatch.setitem(sys.modules, "cupy", cupy)

    return install


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)


def test_the_cpu_can_be_asked_for(fake_cupy):
    fake_cupy(count=1)
    device = backend.select_device("cpu")
    assert (device.name, device.description) == ("CPU", "CPU (asked for)")
    assert device.xp is np
    assert device.free_bytes() is None


def test_auto_takes_the_first_gpu(fake_cupy):
    fake_cupy(count=2)
    device = backend.select_device("auto")
    assert device.index == 0
    assert device.description == "GPU 0, Fake GPU (first GPU found)"
    assert device.xp is sys.modules["cupy"]
    assert device.free_bytes() == 3_000


def test_auto_says_why_it_takes_the_cpu_without_cupy(no_cupy):
    assert backend.select_device("auto").description == "CPU (CuPy is not installed)"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "CuPy sees no GPU"),
        (RuntimeError("old driver"), "CuPy cannot reach a GPU: old driver"),
    ],
)
def test_auto_says_why_it_takes_the_cpu_with_cupy(fake_cupy, error, reason):
    fake_cupy(count=0, error=error)
    assert backend.select_device("auto").description == f"CPU ({reason})"


def test_a_gpu_can_be_asked_for_by_number(fake_cupy):
    fake_cupy(count=2)
    assert backend.select_device("1").description == "GPU 1, Fake GPU (asked for)"


def test_a_gpu_beyond_those_found_is_refused(fake_cupy):
    fake_cupy(count=2)
    with pytest.raises(backend.DeviceError, match=r"--gpu 2 .* 2 GPU\(s\) found, numbered from 0"):
        backend.select_device("2")


def test_a_gpu_is_refused_without_cupy(no_cupy):
    with pytest.raises(backend.DeviceError, match=r"--gpu 0 .* CuPy is not installed"):
        backend.select_device("0")


@pytest.mark.parametrize("request_", ["", "-1", "cuda", "0.5"])
def test_what_is_no_device_is_refused(request_):
    with pytest.raises(backend.DeviceError, match="--gpu takes auto, cpu or a device number"):
        backend.select_device(request_)


def test_arrays_know_their_module(xp):
    array = xp.arange(4, dtype=np.float32)
    assert backend.array_module(array) is xp
    np.testing.assert_array_equal(
        backend.to_host(backend.fft_module(array).rfft(array)), np.fft.rfft(np.arange(4))
    )
    host = backend.to_host(array)
    assert type(host) is np.ndarray
    np.testing.assert_array_equal(host, np.arange(4))


def test_out_of_memory_is_told_from_other_errors():
    cupys = type("OutOfMemoryError", (Exception,), {})
    assert backend.is_out_of_memory(MemoryError())
    assert backend.is_out_of_memory(cupys())
    assert not backend.is_out_of_memory(ValueError())


@pytest.mark.parametrize("shape", [(5, 3), (1, 1), (7, 200, 300)])
def test_slabs_cover_an_array_once(xp, shape):
    visited = xp.zeros(shape, dtype=np.int32)

    def visit(rows: slice) -> None:
        visited[rows] += 1

    with scipy.fft.set_workers(2):
        backend.for_slabs(visited, visit)
    assert (visited == 1).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slabs_may_be_cut_along_any_axis(xp, monkeypatch, axis):
    monkeypatch.setattr(backend, "_SLAB_ELEMENTS", 100)
    monkeypatch.setattr(backend, "DEVICE_SLAB_ELEMENTS", 100)
    visited = xp.zeros((6, 7, 8), dtype=np.int32)
    sizes = []

    def visit(rows: slice) -> None:
        part = np.moveaxis(visited, axis, 0)[rows]
        sizes.append(part.size)
        part += 1

    backend.for_slabs(visited, visit, axis)
    assert (visited == 1).all()
    assert len(sizes) > 1
    assert max(sizes) <= 100


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_slab_is_not_lost(workers):
    with scipy.fft.set_workers(workers), pytest.raises(ZeroDivisionError):
        backend.for_slabs(np.zeros(3), lambda rows: 1 // 0)


@pytest.mark.parametrize("workers", [1, 3])
def test_items_are_dealt_out_to_threads_in_the_same_way_every_time(workers):
    def inside(share: list[int]) -> tuple[list[int], int, int]:
        return share, threading.get_ident(), scipy.fft.get_workers()

    with scipy.fft.set_workers(workers):
        found = backend.in_threads(inside, range(8))
    shares, threads, _ = zip(*found, strict=True)
    assert list(shares) == [list(range(8))[first::workers] for first in range(workers)]
    if workers > 1:
        assert threading.get_ident() not in threads
        assert {each for _, _, each in found} == {1}


def load_and_work(xp, count: int, fail_at: int | None = None) -> tuple[list[int], list[str]]:
    """Results of for_blocks, and what was done in which order."""
    done, order = [], []

    def load(item: int) -> int:
        order.append(f"load {item}")
        if item == fail_at:
            raise OSError("disk")
        return 10 * item

    def work(item: int, loaded: int) -> None:
        order.append(f"work {item}")
        assert loaded == 10 * item
        done.append(item)

    backend.for_blocks(range(count), load, work, xp)
    return done, order


@pytest.mark.parametrize("workers", [1, 2])
def test_blocks_are_worked_on_in_threads_on_the_cpu(workers):
    with scipy.fft.set_workers(workers):
        done, _ = load_and_work(np, 9)
        assert sorted(done) == list(range(9))
        with pytest.raises(OSError, match="disk"):
            load_and_work(np, 9, fail_at=5)


def test_the_next_block_is_loaded_while_a_gpu_works_on_the_one_before():
    gpu = types.ModuleType("stands for cupy")
    done, order = load_and_work(gpu, 5)
    assert done == list(range(5))
    for item in range(4):
        assert order.index(f"load {item + 1}") < order.index(f"work {item + 1}")
    with pytest.raises(OSError, match="disk"):
        load_and_work(gpu, 5, fail_at=2)
    assert load_and_work(gpu, 0) == ([], [])


def test_loading_and_working_overlap_on_a_gpu():
    """Work on a block ends only once the next has been loaded: they must go on at the same time."""
    loaded = [threading.Event() for _ in range(3)]

    def load(item: int) -> None:
        loaded[item].set()

    def work(item: int, _: None) -> None:
        assert loaded[min(item + 1, 2)].wait(timeout=60)

    backend.for_blocks(range(3), load, work, types.ModuleType("stands for cupy"))


def test_an_error_of_the_gpu_is_told_from_others():
    error = type("CUDARuntimeError", (RuntimeError,), {"__module__": "cupy_backends.cuda.api"})
    assert backend.is_device_failure(error())
    assert backend.is_device_failure(type("E", (Exception,), {"__module__": "cupy.cuda.memory"})())
    assert not backend.is_device_failure(ValueError())


def test_values_are_copied_where_the_condition_holds(xp):
    rng = np.random.default_rng(0)
    target, source = rng.standard_normal((2, 5, 6, 7)).astype(np.float32)
    source[0, 0, 0], condition = np.nan, rng.random(target.shape) < 0.5
    condition[0, 0, 0] = True
    on_device = xp.asarray(target)
    backend.copy_where(on_device, xp.asarray(source), xp.asarray(condition))
    np.testing.assert_array_equal(backend.to_host(on_device), np.where(condition, source, target))
