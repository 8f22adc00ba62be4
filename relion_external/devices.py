"""The device of a command's arrays, as asked for by --gpu."""

from __future__ import annotations

import argparse

from plugin_core.backend import Device, DeviceError, select_device
from relion_external.errors import UserError


def open_device(options: argparse.Namespace, request: str) -> Device:
    """Where the arrays are if --gpu gives this call `request`.

    Parameters
    ----------
    options : argparse.Namespace
        With `method`. For the denoiser the arrays may stay on the CPU: PyTorch, which computes the
        network, looks for the GPU by itself.
    request : str
        One of what --gpu lists: ``auto``, ``cpu`` or a number.

    Raises
    ------
    UserError
        If it is not there.
    """
    try:
        return select_device(request)
    except DeviceError as error:
        if options.method == "denoiser":
            return Device("CPU", f"CPU for all but the network ({error})")
        raise UserError(str(error)) from error
