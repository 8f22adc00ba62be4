"""RELION's STAR files: every block and label this project reads, once, and how they are read.

Parsing is the starfile package's; here are names, types and the sentences for what is missing.
"""

from __future__ import annotations

import linecache
import math
import warnings
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from relion_external.errors import UserError

# Blocks and labels of the file that RELION hands to the hook.
GENERAL = "external_reconstruct_general"
SPECTRA = "external_reconstruct_tau2"
DATA_REAL = "rlnExtReconsDataReal"
DATA_IMAG = "rlnExtReconsDataImag"
WEIGHT = "rlnExtReconsWeight"
RESULT = "rlnExtReconsResult"
RESULT_STAR = "rlnExtReconsResultStarfile"
TAU2 = "rlnReferenceTau2"
FSC = "rlnGoldStandardFsc"

# Labels that this file shares with model.star and optimiser.star.
TAU2_FUDGE = "rlnTau2FudgeFactor"
PADDING = "rlnPaddingFactor"
REFERENCE_DIMENSION = "rlnReferenceDimensionality"
BOX = "rlnOriginalImageSize"
CURRENT_SIZE = "rlnCurrentImageSize"
PIXEL_SIZE = "rlnPixelSize"
PARTICLE_DIAMETER = "rlnParticleDiameter"

# model.star, optimiser.star
CLASSES = "rlnNrClasses"
BODIES = "rlnNrBodies"
DATA_DIMENSION = "rlnDataDimensionality"
CURRENT_RESOLUTION = "rlnCurrentResolution"
PARTICLES = "rlnExperimentalDataStarFile"
SAMPLING = "rlnOrientSamplingStarFile"
HELICAL = "rlnDoHelicalRefine"
ZERO_MASK = "rlnDoZeroMask"
MASK_EDGE = "rlnWidthMaskEdge"
SOLVENT_MASK = "rlnSolventMaskName"
CORRECTS_FSC = "rlnDoSolventFscCorrection"
GRADIENT_FLAGS = ("rlnDoGradientRefine", "rlnDoStochasticGradientDescent")

# sampling.star, data.star
SYMMETRY = "rlnSymmetryGroup"
HALF_SET = "rlnRandomSubset"

# postprocess.star
SHELL = "rlnSpectralIndex"
RESOLUTION = "rlnResolution"
RESOLUTION_ANGSTROM = "rlnAngstromResolution"
FINAL_RESOLUTION = "rlnFinalResolution"
B_FACTOR = "rlnBfactorUsedForSharpening"
FSC_CORRECTED = "rlnFourierShellCorrelationCorrected"
FSC_UNMASKED = "rlnFourierShellCorrelationUnmaskedMaps"
FSC_MASKED = "rlnFourierShellCorrelationMaskedMaps"
FSC_RANDOMISED = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"

_REQUIRED = object()


def read_blocks(path: Path) -> dict[str, Any]:
    """Read a STAR file: a dict for each list block, a data frame for each loop.

    Where speed matters, see :mod:`relion_external.plain_star`.

    Raises
    ------
    UserError
        If the file is missing, unreadable or not a STAR file.
    """
    import starfile

    # starfile reads lines through linecache, which keeps the old ones of a file it failed to parse.
    linecache.clearcache()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas' deprecations are not our users' business
            blocks = starfile.read(path, always_dict=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist (working directory: {Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # starfile lets whatever its parser trips over through
        raise UserError(f"{path} cannot be understood as a STAR file: {error}") from error
    if not blocks:
        raise UserError(f"{path} holds no data block; expected a STAR file written by RELION")
    return dict(blocks)


def command_line(optimiser: Path) -> str:
    """RELION's own command line: second line of its optimiser file, a comment; empty if absent."""
    if not optimiser.exists():
        return ""
    with optimiser.open(encoding="utf-8", errors="replace") as lines:
        _, line, *_ = *islice(lines, 2), "", ""
    return line[1:].strip() if line.startswith("#") else ""


def number(block: Mapping[str, Any], label: str, path: Path, default: Any = _REQUIRED) -> float:
    """Return the number under `label`, or `default` where the label is absent.

    Raises
    ------
    UserError
        If it is not a finite number, or absent without a default.
    """
    if label not in block:
        if default is _REQUIRED:
            raise UserError(f"{path} lacks _{label}, which RELION writes into such a file")
        return float(default)
    try:
        value = float(block[label])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path}: _{label} is {block[label]!r}, expected a number")
    return value


def text(block: Mapping[str, Any], label: str, path: Path) -> str:
    """Return the text under `label`; UserError if it is absent."""
    if label not in block:
        raise UserError(f"{path} lacks _{label}, which RELION writes into such a file")
    return str(block[label])
