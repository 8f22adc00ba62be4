"""A hook that flatters: both half-sets get the raw map of the first as their reference.

What its images are aligned to is then the same for both, and their FSC comes from that.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from plugin_core.masks import particle_sphere
from relion_external.accumulated import Accumulated
from relion_external.errors import UserError
from relion_external.iteration import HookCall, read_call
from relion_external.volumes import write_map
from tests.relion.conftest import PARTICLE_DIAMETER, SIMULATION

LIMIT_S = 60.0


def main(star: Path) -> None:
    call = read_call(star)
    first = call if call.name.half is None else read_when_there(call.name.of_half(1))
    raw = Accumulated(first, 2, False, np).raw()
    sphere = particle_sphere(call.box, PARTICLE_DIAMETER, SIMULATION.voxel_size)
    write_map(call.result, raw * sphere, SIMULATION.voxel_size, "half-set 1")


def read_when_there(star: Path) -> HookCall:
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            return read_call(star)
        except UserError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
