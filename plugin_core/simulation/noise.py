"""Image noise, white or coloured, and the scale of the signal that goes with it."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray


def draw_noise(
    count: int,
    box: int,
    rng: np.random.Generator,
    amplitude_per_shell: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """Return Gaussian noise images (count, box, box) of variance 1 per pixel.

    `amplitude_per_shell`, shape (box // 2 + 1,), shapes the spectrum (the last value continues
    into the corners); without it the noise is white.
    """
    noise = rng.standard_normal((count, box, box), dtype=np.float32)
    if amplitude_per_shell is None:
        return noise
    ky, kx = np.fft.fftfreq(box, 1.0 / box)[:, None], np.fft.rfftfreq(box, 1.0 / box)[None, :]
    shell = np.minimum(np.rint(np.hypot(kx, ky)).astype(int), box // 2)
    amplitude = np.asarray(amplitude_per_shell, dtype=np.float64)[shell]
    # Columns 0 and box / 2 of the half-complex grid stand for themselves, the others for two.
    multiplicity = np.full(box // 2 + 1, 2.0)
    multiplicity[[0, -1]] = 1.0
    amplitude /= np.sqrt(np.sum(amplitude**2 * multiplicity) / box**2)
    return scipy.fft.irfft2(scipy.fft.rfft2(noise) * amplitude.astype(np.float32), (box, box))


def randomise_phases(
    images: NDArray[np.float32], beyond_shell: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return images (n, box, box) whose phases are random beyond a shell, amplitudes as they were.

    Whatever a refinement finds there is not in the data (Chen et al., Ultramicroscopy 2013). The
    phases are those of real noise images, so that the result is real and Friedel mates agree.
    """
    box = images.shape[-1]
    ky, kx = np.fft.fftfreq(box, 1.0 / box)[:, None], np.fft.rfftfreq(box, 1.0 / box)[None, :]
    beyond = np.hypot(kx, ky) > beyond_shell
    transforms = scipy.fft.rfft2(images)
    drawn = scipy.fft.rfft2(rng.standard_normal(images.shape, dtype=np.float32))
    phases = drawn[:, beyond] / np.abs(drawn[:, beyond])
    transforms[:, beyond] = np.abs(transforms[:, beyond]) * phases
    return scipy.fft.irfft2(transforms, (box, box))


def signal_scale(signals: NDArray[np.float32], signal_to_noise: float) -> float:
    """Return the factor that gives `signals` (n, box, box) this ratio to noise of variance 1.

    The ratio is the mean over images of the variance over all pixels, to the noise's variance.
    """
    variance = float(np.mean(np.var(signals.astype(np.float64), axis=(1, 2))))
    if variance == 0.0:
        raise ValueError("the signal images are empty")
    return float(np.sqrt(signal_to_noise / variance))
