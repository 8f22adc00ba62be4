from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

torch = pytest.importorskip("torch")

from plugin_core.backend import Device, DeviceError
from plugin_core.denoising import tensors
from plugin_core.denoising.tensors import (
    select_network_device,
    shared_threads,
    to_array,
    to_tensor,
)

CPU = Device("CPU", "made up")


def test_arrays_go_there_and_back_unchanged(xp):
    array = xp.arange(60, dtype=np.float32).reshape(3, 4, 5)
    device = torch.device("cpu" if xp is np else "cuda:0")
    tensor = to_tensor(array, device)
    assert tensor.device == device
    assert tensor.shape == (3, 4, 5)
    back = to_array(2 * tensor, array)
    assert type(back) is type(array)
    assert bool((back == 2 * array).all())


def test_a_view_in_another_order_of_axes_is_taken_as_it_is_seen():
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_tensor(array, torch.device("cpu")).numpy(), array)


def test_threads_are_those_of_the_transforms_and_given_back():
    before = torch.get_num_threads()
    with scipy.fft.set_workers(1), shared_threads():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.fixture
def gpus(monkeypatch):
    """Make PyTorch see a number of GPUs."""

    def see(count: int, cuda: str | None = "12.4") -> None:
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"model {index}")

    return see


def test_the_cpu_is_taken_where_it_is_asked_for(gpus):
    gpus(2)
    assert select_network_device("cpu", CPU).name == "CPU"


def test_the_gpu_that_has_the_arrays_is_taken(gpus):
    gpus(2)
    found = select_network_device("auto", Device("GPU 1", "made up", 1))
    assert (found.device, found.name) == (torch.device("cuda", 1), "GPU 1")
    assert found.description == "GPU 1, model 1"


def test_pytorch_uses_a_gpu_that_cupy_does_not_see(gpus):
    gpus(1)
    assert select_network_device("auto", CPU).name == "GPU 0"
    assert select_network_device("0", CPU).name == "GPU 0"


@pytest.mark.parametrize(
    ("count", "cuda", "reason"),
    [(0, None, "this PyTorch is built without CUDA"), (0, "12.4", "PyTorch sees no GPU")],
)
def test_without_a_gpu_auto_takes_the_cpu_and_says_why(gpus, count, cuda, reason):
    gpus(count, cuda)
    found = select_network_device("auto", CPU)
    assert (found.device.type, found.description) == ("cpu", f"CPU ({reason})")
    assert found.free_bytes() is None
    with pytest.raises(DeviceError, match=f"--gpu 0 was asked for.*{reason}"):
        select_network_device("0", CPU)


def test_a_gpu_that_is_not_there_is_refused(gpus):
    gpus(2)
    with pytest.raises(DeviceError, match=r"--gpu 2 was asked for.*sees 2 GPU\(s\)"):
        select_network_device("2", CPU)


@pytest.mark.gpu
def test_free_memory_counts_what_pytorch_could_give_back():
    device = tensors.NetworkDevice(torch.device("cuda:0"), "GPU 0", "")
    free = device.free_bytes()
    held = torch.zeros(1 << 28, device="cuda:0")
    assert device.free_bytes() < free
    del held
    assert device.free_bytes() >= 0.99 * free
