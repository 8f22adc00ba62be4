from __future__ import annotations

import numpy as np
import pytest

from plugin_core.backend import to_host
from plugin_core.noise import from_fsc
from plugin_core.regularizers.interface import RegularizerInput
from plugin_core.regularizers.uniform import regularize

BOX, VOXEL_SIZE = 24, 2.0


def inputs(xp, fsc: np.ndarray, support: np.ndarray | None = None) -> RegularizerInput:
    half_map = np.random.default_rng(0).standard_normal((BOX,) * 3, dtype=np.float32)
    support = np.ones((BOX,) * 3, np.float32) if support is None else support
    on_device, mask = xp.asarray(half_map), xp.asarray(support)
    return RegularizerInput(
        half_map=on_device,
        partner=None,
        support=mask,
        noise_power=from_fsc(on_device, mask, fsc),
        voxel_size=VOXEL_SIZE,
        max_shell=BOX // 2,
    )


def test_every_shell_is_multiplied_by_its_fsc(xp):
    fsc = np.linspace(1, 0, BOX // 2 + 1)
    given = inputs(xp, fsc)
    found = np.fft.fftn(to_host(regularize(given).volume).astype(float))
    raw = np.fft.fftn(to_host(given.half_map).astype(float))
    # On the axes of the grid the radius is a whole shell, where nothing is interpolated.
    for shell in range(BOX // 2):
        for index in ((shell, 0, 0), (0, shell, 0), (0, 0, shell)):
            assert found[index] == pytest.approx(fsc[shell] * raw[index], abs=1e-3)


def test_it_tells_where_half_of_the_power_is_noise_and_has_no_local_cutoffs(xp):
    fsc = np.where(np.arange(BOX // 2 + 1) <= 8, 0.9, 0.1)
    found = regularize(inputs(xp, fsc))
    assert found.summary == {"half_noise_angstrom": BOX * VOXEL_SIZE / 8}
    assert found.cutoff_angstrom is None


def test_pure_noise_leaves_nothing(xp):
    found = to_host(regularize(inputs(xp, np.zeros(BOX // 2 + 1))).volume)
    assert np.abs(found).max() < 1e-5
