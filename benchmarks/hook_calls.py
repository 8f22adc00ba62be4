"""Hook calls of a phantom, at any box: RELION's arrays are written plane by plane.

They are what :func:`plugin_core.simulation.accumulators.accumulate` makes of phantom and noise, but
at box 512 and padding 2 three arrays of 2.2 GB are not made in memory.
"""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import scipy.fft

from plugin_core.fourier import apply_radial, butterworth, irfftn, radii, rfftn, shell_power
from plugin_core.masks import soft_sphere, squared_distance
from plugin_core.padded_grid import PaddedGrid
from relion_external.simulated_call import array_paths, write_call

VOXEL_SIZE = 1.2
DIAMETER = 0.7  # of the particle, as a fraction of the box


def write_calls(grid: PaddedGrid, folder: Path) -> Path:
    """Write both half-sets' calls of one iteration; return half 1's STAR file."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    box = grid.box
    shells = np.arange(box // 2 + 1)
    weight = 3 * np.exp(-6 * shells / box)
    volume = phantom(box, rng)
    noise = 2 * float(box) ** 4 / (grid.padding**3 * weight)
    signal = shell_power(volume, len(shells))
    fsc = signal / (signal + noise)
    fsc[0] = 1
    fsc[shells > grid.max_shell] = 0
    tau2 = fsc / np.maximum(1 - fsc, 1e-3) / (grid.padding**3 * weight)
    stars = []
    for half in (1, 2):
        name = f"run_it003_half{half}_class001"
        field = rfftn(rng.standard_normal((box,) * 3, dtype=np.float32))
        colour = np.interp(radii(box), shells, np.sqrt(noise / float(box) ** 3))
        noisy = volume + irfftn(apply_radial(field, colour), box)
        write_arrays(noisy, grid, weight, array_paths(folder, name))
        stars.append(
            write_call(
                folder,
                name,
                None,
                grid,
                tau2=tau2,
                fsc=fsc,
                voxel_size=VOXEL_SIZE,
                particle_diameter=DIAMETER * box * VOXEL_SIZE,
            )
        )
    return stars[0]


def phantom(box: int, rng: np.random.Generator) -> np.ndarray:
    """A ball of texture whose power falls off, fine in one half and coarse in the other."""
    texture = rfftn(rng.standard_normal((box,) * 3, dtype=np.float32))
    fall_off = np.exp(-radii(box) / (0.08 * box))
    fine = irfftn(apply_radial(texture, fall_off), box)
    coarse = irfftn(apply_radial(texture, fall_off * butterworth(radii(box), box / 10, 8)), box)
    fine[:, :, : box // 2] = coarse[:, :, : box // 2]
    volume = fine * soft_sphere(box, 0.3 * box, 4.0)
    return volume * np.float32(10 / volume.std())


def write_arrays(
    volume: np.ndarray, grid: PaddedGrid, weight: np.ndarray, paths: tuple[Path, Path, Path]
) -> None:
    """Write data (real, imaginary) and weight of a map: its padded transform times the weights."""
    half = half_transformed(volume, grid)
    index2 = np.fft.fftfreq(grid.size, 1 / grid.size).round().astype(np.int64) ** 2
    plane2 = index2[:, None] + index2[: grid.size // 2 + 1]
    shells = np.floor(np.sqrt(np.arange(grid.radius**2)) / grid.padding + 0.5).astype(np.int64)
    table = np.zeros(plane2.max() + index2.max() + 1, dtype=np.float32)
    table[: grid.radius**2] = weight[shells]
    files = [mrcfile.new_mmap(path, grid.shape, mrc_mode=2, overwrite=True) for path in paths]
    for z in range(grid.size):
        lines = np.zeros((grid.size, half.shape[2]), dtype=np.complex64)
        _pad(half[z], lines)
        plane = scipy.fft.fft(lines, axis=0, overwrite_x=True)
        weights = table[index2[z] + plane2]
        for file, values in zip(files, (plane.real, plane.imag, 1), strict=True):
            file.data[z] = values * weights
    for file in files:
        file.close()


def half_transformed(volume: np.ndarray, grid: PaddedGrid) -> np.ndarray:
    """Transform of the padded map along x and z, in RELION's units: (P, N, P // 2 + 1) complex64.

    Trilinear insertion of the images lets a map fall off from its origin.
    """
    fall_off = np.sinc(np.sqrt(squared_distance(grid.box)) / grid.size) ** 2
    scaled = np.moveaxis(volume * fall_off / np.float32(grid.box**2), 2, 0)
    lines = np.zeros((grid.size, grid.box, grid.box), dtype=np.float32)
    _pad(scaled, lines)
    along_x = scipy.fft.rfft(lines, axis=0)  # (x, z, y)
    del lines
    result = np.empty((grid.size, grid.box, grid.size // 2 + 1), dtype=np.complex64)
    for x, plane in enumerate(along_x):
        padded = np.zeros((grid.size, grid.box), dtype=np.complex64)
        _pad(plane, padded)
        result[:, :, x] = scipy.fft.fft(padded, axis=0, overwrite_x=True)
    return result


def _pad(values: np.ndarray, target: np.ndarray) -> None:
    """Put N values along the first axis among P zeros, the origin at the first."""
    before = len(values) // 2
    target[: len(values) - before] = values[before:]
    target[len(target) - before :] = values[:before]
