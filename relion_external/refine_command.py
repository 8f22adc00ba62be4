"""The command line of `relion_refine_mpi` for an auto-refinement with the hook.

Options are kept as a dict from their names, without dashes, to their values; a flag has the value
``""``. What is not asked for is as in the Auto-refine job of RELION's GUI.
"""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

from relion_external.errors import UserError

Options = dict[str, str]

_DEFAULTS: Options = {
    "oversampling": "1",
    "offset_range": "5",
    "offset_step": "2",
    "low_resol_join_halves": "40",
    "pool": "3",
    **dict.fromkeys(("auto_refine", "split_random_halves", "firstiter_cc", "ctf", "norm"), ""),
    **dict.fromkeys(("scale", "flatten_solvent", "zero_mask", "dont_combine_weights_via_disc"), ""),
}

_OF_THE_MACHINE = {
    *("j", "pool", "gpu", "free_gpu_memory", "dont_combine_weights_via_disc", "preread_images"),
    *("scratch_dir", "keep_free_scratch", "reuse_scratch", "no_parallel_disc_io", "skip_gridding"),
    *("auto_iter_max", "verb"),
}
"""Options that RELION does not keep in its files, so that a continued refinement is told again."""


def refine_options(args: argparse.Namespace, relion_version: str | None) -> Options:
    """Options of a refinement from the start, without the output root.

    Parameters
    ----------
    args : argparse.Namespace
        Of the External job.
    relion_version : str or None
        None if it is not known.

    Raises
    ------
    UserError
        If `--refine_args` cannot be understood.
    """
    options = _DEFAULTS | {
        "i": str(args.in_parts),
        "ref": str(args.in_3dref),
        "particle_diameter": f"{args.particle_diameter:g}",
        "ini_high": f"{args.ini_high:g}",
        "sym": args.sym,
        "healpix_order": str(args.healpix_order),
        "auto_local_healpix_order": str(args.auto_local_healpix_order),
        "pad": str(args.pad),
        "j": str(args.j or 1),
    }
    if args.in_mask:
        options["solvent_mask"] = str(args.in_mask)
    if args.refine_gpu:
        options["gpu"] = args.refine_gpu
    if _major(relion_version) == 3:
        options["skip_gridding"] = ""  # as the GUI of 3.1 does, and as 4 and 5 do by themselves
    for name, value in parse_list(args.refine_args or "").items():
        if value.lower() == "no":
            options.pop(name, None)
        else:
            options[name] = "" if value.lower() == "yes" else value
    return options


def continue_options(options: Options, started_with: Options) -> Options:
    """Options to continue with: those of the machine, and what differs from the start.

    Parameters
    ----------
    options : dict
        What is asked for now.
    started_with : dict
        What the refinement was started with.

    Raises
    ------
    UserError
        If an option of the start is no longer given: RELION keeps it.
    """
    gone = sorted(_kept(started_with).keys() - options.keys())
    if gone:
        raise UserError(
            f"the refinement in this folder was started with --{gone[0]}, which RELION keeps: give "
            "it again, or start anew in another job"
        )
    changed = dict(_kept(options).items() - started_with.items())
    return {
        name: value for name, value in options.items() if name in _OF_THE_MACHINE or name in changed
    }


def refuse_other_options(options: Options, started_with: Options) -> None:
    """Raise UserError where a finished refinement was started with other options."""
    other = sorted({name for name, _ in _kept(options).items() ^ _kept(started_with).items()})
    if other:
        raise UserError(
            f"the refinement in this folder is finished, and was made with another --{other[0]}: "
            "start anew in another job"
        )


def hook_is_forgotten(relion_version: str | None) -> bool:
    """Whether RELION has to be told of the hook again when it continues: from version 5 on."""
    major = _major(relion_version)
    return major is None or major >= 5


def parse_list(text: str) -> Options:
    """Parse ``name=value,name,...``, which survives RELION's unquoted pasting, or ``@FILE``."""
    if text.startswith("@"):
        try:
            return parse_words(Path(text[1:]).read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"--refine_args {text} cannot be read: {error.strerror}") from error
    pairs = [item.partition("=") for item in text.split(",") if item]
    for name, _, _ in pairs:
        if not name.isidentifier():
            raise UserError(
                f"--refine_args has {name!r} where the name of an option is expected, without "
                "dashes: name=value,name,..."
            )
    return {name: value for name, _, value in pairs}


def parse_words(text: str) -> Options:
    """Parse options in the form of a command line: ``--name value --flag``."""
    options: Options = {}
    name = ""
    for word in shlex.split(text, comments=True):
        if word.startswith("--"):
            name = word[2:]
            options[name] = ""
        elif name and not options[name]:
            options[name] = word
        else:
            raise UserError(f"{word!r} follows no option; expected --name value --flag ...")
    return options


def as_words(options: Options) -> list[str]:
    """Return the options as words of a command line."""
    return [word for name, value in options.items() for word in (f"--{name}", value) if word]


def _kept(options: Options) -> Options:
    """Those options that RELION keeps when it continues."""
    forgotten = _OF_THE_MACHINE | {"o", "external_reconstruct"}
    return {name: value for name, value in options.items() if name not in forgotten}


def _major(version: str | None) -> int | None:
    found = re.match(r"\d+", version or "")
    return int(found[0]) if found else None
