"""What is imaged: a rigid part, and what differs from particle to particle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from plugin_core.simulation.belt import BeltMaker
from plugin_core.simulation.projection import Atoms


@dataclass(frozen=True)
class HingedDomain:
    """A domain that swings as one body, anew in every particle.

    Attributes
    ----------
    atoms : Atoms
        In the position of rest.
    hinge : (3,) float
        The point about which it turns, x, y, z in Å.
    swing_sd : float
        Standard deviation in degrees of the turn about each of the three axes.
    """

    atoms: Atoms
    hinge: NDArray[np.float64]
    swing_sd: float

    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return the domain as it is in one particle."""
        turn = Rotation.from_rotvec(np.radians(rng.normal(0.0, self.swing_sd, 3))).as_matrix()
        moved = (self.atoms.coordinates - self.hinge) @ turn.T + self.hinge
        return Atoms(moved.astype(np.float32), self.atoms.weights, self.atoms.b_factors)


@dataclass(frozen=True)
class Specimen:
    """The particles of one data set.

    Attributes
    ----------
    rigid : Atoms
        The same in every particle.
    domain : HingedDomain or None
    belts : BeltMaker or None
        Detergent belts, of which every particle has its own.
    """

    rigid: Atoms
    domain: HingedDomain | None = None
    belts: BeltMaker | None = None

    @property
    def at_rest(self) -> Atoms:
        """The molecule in the position of rest, without a belt."""
        return join(self.rigid, self.domain.atoms) if self.domain else self.rigid

    @property
    def varies(self) -> bool:
        """Whether there is anything to draw."""
        return self.domain is not None or self.belts is not None

    def draw(self, rng: np.random.Generator) -> Atoms:
        """Return what is not rigid as it is in one particle; `varies` has to hold."""
        makers = [maker for maker in (self.domain, self.belts) if maker is not None]
        return join(*(maker.draw(rng) for maker in makers))


def join(*parts: Atoms) -> Atoms:
    """Return several sets of atoms as one."""
    return Atoms(
        np.concatenate([part.coordinates for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.b_factors for part in parts]),
    )
