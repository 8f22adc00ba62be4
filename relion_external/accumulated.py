"""Maps from the arrays of a hook call: raw, Wiener-filtered, and the other half-set's raw map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

from plugin_core.backend import Array
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import Accumulators, reconstruct
from plugin_core.weights import Prior, RadialWeights, radial_weights
from relion_external.array_file import ArrayFile
from relion_external.errors import UserError
from relion_external.iteration import HookCall


@dataclass(frozen=True)
class Accumulated:
    """The arrays of one hook call, ready to be reconstructed.

    Attributes
    ----------
    call : HookCall
    data_dimension : int
        2 for images, 3 for sub-tomograms.
    gridding : bool
        Gridding iterations instead of the plain division.
    xp : module
        numpy or cupy: where maps are made.
    """

    call: HookCall
    data_dimension: int
    gridding: bool
    xp: ModuleType

    @cached_property
    def grid(self) -> PaddedGrid:
        """Geometry of the arrays; UserError if the STAR file contradicts itself."""
        try:
            return PaddedGrid(self.call.box, self.call.padding, self.call.max_shell)
        except ValueError as error:
            raise UserError(f"{self.call.star_path}: {error}") from error

    @cached_property
    def arrays(self) -> Accumulators:
        """RELION's arrays, in their files."""
        call, shape = self.call, self.grid.shape
        return Accumulators(
            data_real=ArrayFile(call.data_real, shape),
            data_imag=ArrayFile(call.data_imag, shape),
            weight=ArrayFile(call.weight, shape),
        )

    @cached_property
    def radial(self) -> RadialWeights:
        """Radial sums of the weights, which are checked on the way."""
        arrays = self.arrays
        try:
            return radial_weights(arrays.weight, self.grid)
        except ValueError as error:
            arrays.weight.require_finite()
            raise UserError(f"{self.call.weight}: {error}") from error

    def raw(self) -> Array:
        """Map without regularisation."""
        return self._reconstruct(None)

    def wiener(self, min_shell: int) -> Array:
        """RELION's own map: regularised by its spectral prior from `min_shell` on."""
        return self._reconstruct(Prior(self.call.tau2, self.call.tau2_fudge, min_shell))

    def _reconstruct(self, prior: Prior | None) -> Array:
        try:
            return reconstruct(
                self.arrays,
                self.radial,
                prior,
                gridding=self.gridding,
                data_dimension=self.data_dimension,
                xp=self.xp,
            )
        except ValueError as error:
            self.arrays.data_real.require_finite()
            self.arrays.data_imag.require_finite()
            raise UserError(
                f"{self.call.data_real}, {self.call.data_imag.name}: {error}"
            ) from error
