from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from plugin_core.denoising.training import blocks


def _volume(box: int) -> torch.Tensor:
    return torch.arange(box**3, dtype=torch.float32).reshape(1, box, box, box)


def test_a_cut_is_the_voxels_about_its_centre_and_zeros_beyond_the_box():
    volume = _volume(20) + 1
    block = blocks.cut(volume, np.array([10, 9, 8]), 8)
    assert torch.equal(block, volume[:, 6:14, 5:13, 4:12])
    beyond = blocks.cut(volume, np.array([1, 19, 10]), 8)
    assert torch.equal(beyond[:, 3:, :5], volume[:, :5, 15:, 6:14])
    assert beyond[:, :3].abs().max() == 0
    assert beyond[:, :, 5:].abs().max() == 0


def test_turns_are_the_24_rotations_each_and_no_mirror_images():
    rng = np.random.default_rng(0)
    axes = torch.stack(
        torch.meshgrid(*[torch.arange(3) - 1.0] * 3, indexing="ij")
    )  # coordinates z, y, x of a 3^3 block
    seen = set()
    for _ in range(600):
        turned = blocks.turn(axes.clone(), rng)
        # Where each axis' end went: the columns of the rotation.
        matrix = np.array(
            [turned[:, 2, 1, 1].numpy(), turned[:, 1, 2, 1].numpy(), turned[:, 1, 1, 2].numpy()]
        )
        assert np.linalg.det(matrix) == pytest.approx(1)
        seen.add(matrix.astype(int).tobytes())
    assert len(seen) == 24


def test_an_affine_cut_of_a_smooth_blob_keeps_its_place_and_mass():
    box, centre = 48, np.array([26, 22, 25])
    grid = np.indices((box,) * 3).transpose(1, 2, 3, 0)
    blob = np.exp(-((grid - centre) ** 2).sum(axis=-1) / (2 * 4.0**2)).astype(np.float32)
    rng = np.random.default_rng(3)
    for _ in range(10):
        block = blocks.cut_affine(torch.from_numpy(blob)[None], centre, 32, rng)[0].numpy()
        weights = block / block.sum()
        where = (weights[..., None] * np.indices((32,) * 3).transpose(1, 2, 3, 0)).sum((0, 1, 2))
        # The middle of the block, between voxels 15 and 16, lies within half a voxel of the centre.
        assert np.abs(where - 15.5).max() < 0.75
        scale = (block.sum() / blob.sum()) ** (1 / 3)
        assert 1 / 1.25 < scale < 1.25


def test_block_centres_lie_near_the_molecule_and_keep_the_block_in_the_box():
    mask = np.zeros((80,) * 3, dtype=np.float32)
    mask[60:70, 20:30, 40:50] = 1
    rng = np.random.default_rng(4)
    centres = np.array([blocks.block_centre(mask, 32, rng) for _ in range(200)])
    assert centres.min() >= 16
    assert centres.max() <= 64
    assert np.abs(centres - np.array([65, 25, 45])).max() <= 16 + 10
    small = blocks.block_centre(np.ones((20,) * 3, dtype=np.float32), 32, rng)
    assert small.tolist() == [10, 10, 10]
