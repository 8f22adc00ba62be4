"""What the weights say about the noise, against noise that RELION itself has back-projected."""

from __future__ import annotations

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile

from plugin_core import noise
from plugin_core.fourier import shell_power
from plugin_core.masks import soft_sphere
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import Accumulators, reconstruct
from plugin_core.weights import radial_weights
from relion_external.system import ask

BOX, PARTICLES = 32, 8000


def write_noise(folder) -> None:
    """White noise of standard deviation 1 as particles seen from all sides."""
    rng = np.random.default_rng(1)
    images = rng.standard_normal((PARTICLES, BOX, BOX), dtype=np.float32)
    mrcfile.write(folder / "noise.mrcs", images, voxel_size=4.0)
    defocus = rng.uniform(10_000, 30_000, PARTICLES)
    particles = {
        "rlnImageName": [f"{number + 1:06d}@noise.mrcs" for number in range(PARTICLES)],
        "rlnAngleRot": rng.uniform(-180, 180, PARTICLES),
        "rlnAngleTilt": np.degrees(np.arccos(rng.uniform(-1, 1, PARTICLES))),
        "rlnAnglePsi": rng.uniform(-180, 180, PARTICLES),
        "rlnOriginXAngst": 0.0,
        "rlnOriginYAngst": 0.0,
        "rlnDefocusU": defocus,
        "rlnDefocusV": defocus,
        "rlnDefocusAngle": 0.0,
        "rlnOpticsGroup": 1,
    }
    optics = {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["group"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [4.0],
        "rlnImageSize": [BOX],
        "rlnImageDimensionality": [2],
    }
    tables = {"optics": pd.DataFrame(optics), "particles": pd.DataFrame(particles)}
    starfile.write(tables, folder / "noise.star")


@pytest.mark.relion
@pytest.mark.parametrize("padding", [1, 2])
def test_weights_predict_the_noise_that_relion_back_projects(tmp_path, monkeypatch, padding):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE", "true")
    write_noise(tmp_path)
    # It ends in an error after the arrays are written: there is no map to be read back.
    program = ["relion_reconstruct", "--i", "noise.star", "--o", "rec.mrc", "--ctf"]
    ask([*program, "--pad", str(padding), "--external_reconstruct"], limit_s=120)
    parts = ("data_real", "data_imag", "weight")
    arrays = Accumulators(*(mrcfile.read(f"rec_external_reconstruct_{part}.mrc") for part in parts))
    radial = radial_weights(arrays.weight, PaddedGrid(BOX, padding, BOX // 2))
    support = soft_sphere(BOX, 11, 4)
    raw = reconstruct(arrays, radial, None)
    measured = shell_power(raw * support, BOX // 2 + 1) / (support**2).mean()
    # relion_reconstruct takes the noise variance for 1; white noise has 1 / (2 N^2) in each
    # component of a transform divided by N^2.
    predicted = noise.from_weights(radial) / (2 * BOX**2)
    assert (measured / predicted)[6:15].mean() == pytest.approx(1, abs=0.05)
