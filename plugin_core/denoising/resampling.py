"""From a map's own voxel size to the network's and back, in Fourier space.

The extent of the box is kept and its number of voxels changed, so a map is resampled without any
interpolation, and a shell means the same spatial frequency before and after. The new box is the
even one nearest to the extent over the wanted voxel size; what is left is a voxel size that differs
from the wanted one by at most 1 voxel in the new box (1 % at 100 voxels), far less than the change
of scale of a tenth that the network is trained to bear.
"""

from __future__ import annotations

import torch
from torch import Tensor


def network_box(box: int, voxel_size: float, wanted: float) -> int:
    """Even number of voxels of about `wanted` Å in the extent of `box` voxels of `voxel_size` Å."""
    return max(2 * round(box * voxel_size / (2 * wanted)), 2)


def resample(volume: Tensor, box: int) -> Tensor:
    """Resample a map to `box` voxels a side, its extent and its origin voxel kept.

    Frequencies that both grids hold are kept as they are, all others are zero. Going back undoes it
    exactly for a map without power at or beyond the Nyquist frequency of the coarser grid.

    Parameters
    ----------
    volume : (N, N, N) float32
        Origin at voxel N // 2.
    box : int

    Returns
    -------
    (box, box, box) float32
        Origin at voxel box // 2; the scale of the values is kept.
    """
    before = volume.shape[0]
    if before == box:
        return volume
    transform = torch.fft.rfftn(volume)
    result = transform.new_zeros((box, box, box // 2 + 1))
    # Frequencies below both Nyquist frequencies: 0 to last, and -last to -1.
    last = (min(before, box) - 1) // 2
    positive = slice(0, last + 1)
    for z in (positive, slice(-last, None)) if last else (positive,):
        for y in (positive, slice(-last, None)) if last else (positive,):
            result[z, y, positive] = transform[z, y, positive]
    _move_origin(result, before)
    result *= (box / before) ** 3
    return torch.fft.irfftn(result, s=(box, box, box))


def _move_origin(transform: Tensor, before: int) -> None:
    """Put the origin voxel, `before` // 2 of the old box, at that of the new one.

    In even boxes both lie in the middle, and nothing is done.
    """
    box = transform.shape[0]
    shift = (box // 2) / box - (before // 2) / before  # of the extent
    if shift == 0:
        return
    frequency = torch.fft.fftfreq(box, 1 / box, device=transform.device)
    phase = torch.polar(torch.ones_like(frequency), -2 * torch.pi * shift * frequency)
    transform *= phase[:, None, None]
    transform *= phase[:, None]
    transform *= phase[: transform.shape[2]]
