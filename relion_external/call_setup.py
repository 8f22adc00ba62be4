"""All that one answer is made from: the call, what is known of it, the device, the outputs."""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from plugin_core import noise
from plugin_core.backend import Array, Device, to_host
from plugin_core.fsc import joined_fsc
from plugin_core.masks import particle_sphere, soft_sphere
from relion_external import quarter_maps, star
from relion_external.accumulated import Accumulated
from relion_external.call_log import Stopwatch
from relion_external.devices import open_device
from relion_external.errors import UserError
from relion_external.iteration import (
    CLASSIFICATION,
    HALF,
    JOINED,
    HookCall,
    PreviousIteration,
    read_call,
    read_previous,
    resolve_particle_diameter,
    resolve_voxel_size,
)
from relion_external.outputs import Outputs, header_label, outputs_of
from relion_external.threads import most_calls_at_once, usable_threads
from relion_external.volumes import read_mask, write_map

log = logging.getLogger(__name__)


@dataclass
class Job:
    """All that one answer is made from."""

    options: argparse.Namespace
    call: HookCall
    previous: PreviousIteration
    outputs: Outputs
    device: Device
    threads: int
    voxel_size: float
    watch: Stopwatch

    @cached_property
    def accumulated(self) -> Accumulated:
        """The arrays of this call."""
        return Accumulated(
            self.call, self.previous.data_dimension, self.options.gridding, self.device.xp
        )

    @cached_property
    def support(self) -> Array:
        """Soft mask of where there can be density: the user's, or the particle's sphere.

        Or RELION's own solvent mask for the local filter, whose windows are then free of what
        RELION takes away from the answer anyway; networks are trained on spheres.
        """
        mask = self.options.mask
        if mask is None and self.options.method == "nonuniform":
            mask = self._solvent_mask
        log.info("support: %s", mask or "the particle's sphere")
        return self._sphere if mask is None else self._mask(mask)

    @property
    def _solvent_mask(self) -> Path | None:
        """RELION's mask in the frame of this call's map; those of bodies are not known here."""
        return None if self.call.name.kind == "body" else self.previous.solvent_mask

    def _mask(self, path: Path) -> Array:
        return self.device.xp.asarray(read_mask(path, self.call.box, self.voxel_size))

    @cached_property
    def _sphere(self) -> Array:
        diameter = resolve_particle_diameter(
            self.call, self.previous, self.options.particle_diameter
        )
        return particle_sphere(self.call.box, diameter, self.voxel_size, self.device.xp)

    @property
    def counted_noise(self) -> float:
        """Fraction of the particles' noise power that RELION's noise spectra, and weights, count.

        RELION measures noise in the masked particles; zeros around them take theirs away.
        """
        previous = self.previous
        if not previous.masks_with_zeros:
            return 1.0
        path = previous.optimiser_path
        diameter = star.number(previous.optimiser, star.PARTICLE_DIAMETER, path)
        edge_width = star.number(previous.optimiser, star.MASK_EDGE, path)
        mask = soft_sphere(self.call.box, diameter / (2 * self.voxel_size), edge_width)
        if previous.data_dimension == 2:
            mask = mask[self.call.box // 2]
        return float((mask**2).mean(dtype="float64"))

    def noise_power(self, raw: Array) -> np.ndarray:
        """Noise power of the raw map of this call, (shells,) float64: see `plugin_core.noise`."""
        region = self._fsc_region()
        if region is None:
            accumulated = self.accumulated
            return noise.from_weights(
                accumulated.radial, accumulated.data_dimension, self.counted_noise
            )
        return noise.from_fsc(raw, region, self.fsc)

    @property
    def fsc(self) -> np.ndarray:
        """Signal over signal and noise of the map of this call, (N // 2 + 1,) float64.

        The FSC of the half-maps, or what follows from it for their joined map.
        """
        return joined_fsc(self.call.fsc) if self.call.mode == JOINED else self.call.fsc

    def _fsc_region(self) -> Array | None:
        """Where RELION's FSC is of, so that the power there can be split by it; None without FSC.

        RELION's own FSC is nearly that of the particle's sphere, since averaging over the padded
        grid damps what is far from the centre: with the power of a tighter mask the noise would
        come out several times too large. With --solvent_correct_fsc and a solvent mask it is that
        of the mask; a body has one that is not known here.
        """
        if self.call.mode == CLASSIFICATION:
            return None
        if self.previous.corrects_fsc and self.call.name.kind == "body":
            return None
        if self.previous.corrects_fsc and self._solvent_mask is not None:
            return self._mask(self._solvent_mask)
        return self._sphere

    def write(self, path: Path, volume: Array, what: str) -> None:
        """Write a map whose MRC label says `what` it is."""
        with self.watch.stage("writing"):
            write_map(path, to_host(volume), self.voxel_size, header_label(what))


def open_job(options: argparse.Namespace, watch: Stopwatch) -> Job:
    """Read and check the call at `options.star`, and remove what an earlier attempt left.

    Raises
    ------
    UserError
        If something is missing, or RELION runs in a mode that cannot be served.
    """
    call = read_call(options.star)
    if options.mask is not None and call.name.kind == "body":
        raise UserError(
            f"--mask {options.mask} lies in the frame of the whole particle, but RELION centres "
            "the map of a body on that body: leave --mask out in multi-body refinement"
        )
    outputs = outputs_of(call, options.method)
    outputs.remove_stale()
    previous = read_previous(call.name)
    if previous.is_gradient:
        raise UserError(
            f"{previous.optimiser_path} says that RELION refines by gradient descent "
            "(InitialModel, VDAM or SGD), where the arrays hold a gradient, not a map: "
            "run it without --external_reconstruct"
        )
    if options.risk in ("cross-half", "quarter") and call.mode == CLASSIFICATION:
        raise UserError(f"the risk {options.risk} needs half-sets, and a classification has none")
    if options.risk == "quarter":
        quarter_maps.check(call, previous)
    voxel_size = resolve_voxel_size(call, previous, options.angpix)
    device = open_device(options, device_request(call, options.gpu))
    at_once = most_calls_at_once(_maps_at_once(call, previous))
    # Half-sets take MPI in any case, and share the machine whatever its launcher is.
    threads = usable_threads(options.j, max(at_once, 2) if call.mode == HALF else at_once)
    return Job(options, call, previous, outputs, device, threads, voxel_size, watch)


def _maps_at_once(call: HookCall, previous: PreviousIteration) -> int:
    """Number of maps that RELION may reconstruct at the same time as this one, it included."""
    bodies = int(star.number(previous.model, star.BODIES, previous.model_path, default=1))
    if call.mode == HALF:
        return 2 * max(bodies, 1)
    classes = int(star.number(previous.model, star.CLASSES, previous.model_path, default=1))
    return max(classes, 1) if call.mode == CLASSIFICATION else 1


def device_request(call: HookCall, request: str) -> str:
    """Device asked for by this call: a list of GPUs is dealt out to half-sets, or to classes."""
    devices = request.split(",")
    turn = (call.name.half or call.name.number) - 1
    return devices[turn % len(devices)]
