"""One refinement of the laboratory: what it is made with, its record, and whether it is finished.

A run's folder holds RELION's files and result.json. A run counts as finished when its record was
made with the same options by the same version of the code; RELION's own runs, which use none of
this code, need the options only.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation import Evaluation, evaluate
from sets import LabSet

import relion_external
from relion_external import hook_variable
from relion_external.errors import UserError
from relion_external.refinement import IterationResult, RefinementOptions, refine

RELIONS_OWN = {"none": None, "relion": hook_variable.RELIONS_OWN}
HEAVY_FILES = (
    *(
        "run_*_external_reconstruct_*.mrc",
        "run_*.bild",
        "run_*_angdist.bild",
        "run_*_sampling.star",
    ),
    *("run_it*_class001.mrc", "run_it*_external_reconstruct.mrc", "run_*_unfil.mrc"),
)
"""What RELION leaves behind and nothing here needs any more; the last iteration's maps stay."""


@dataclass(frozen=True)
class Method:
    """A way to regularise: how it is called in tables, and the hook's command (None: no hook).

    Written ``none`` (RELION without a hook), ``relion`` (RELION's own external program), or
    ``METHOD[:RISK] [OPTIONS]`` with what ``relion-external reconstruct`` takes, such as
    ``nonuniform:cross-half --awf 2``.
    """

    name: str
    hook: str | None

    @property
    def folder_name(self) -> str:
        """Name of the folder of its runs."""
        return re.sub(r"[^A-Za-z0-9.]+", "_", self.name).strip("_")

    @property
    def code(self) -> str:
        """Version of the code that it runs."""
        return "RELION" if self.name in RELIONS_OWN else code_fingerprint()


def parse_method(text: str) -> Method:
    """Read a method as it is written on the command line."""
    if text in RELIONS_OWN:
        return Method(text, RELIONS_OWN[text])
    first, *options = shlex.split(text)
    name, _, risk = first.partition(":")
    words = ["--method", name, *(["--risk", risk] if risk else []), *options]
    state = hook_variable.examine(hook_variable.command(words))
    if state.problem:
        raise UserError(f"the method {text!r}: {state.problem}")
    return Method(text, hook_variable.command(words))


def code_fingerprint() -> str:
    """Twelve hexadecimal digits of the SHA-256 of all Python files of the two packages."""
    digest = hashlib.sha256()
    root = Path(relion_external.__file__).parents[1]
    for package in ("plugin_core", "relion_external"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Run:
    """One finished refinement and how it compares with the truth."""

    method: str
    seed: int
    particles: int
    code: str
    iterations: list[IterationResult]
    evaluation: Evaluation
    folder: Path

    @property
    def errors(self) -> list[float]:
        """Median angular error in degrees by iteration, the start first."""
        return [result.angular_error for result in self.iterations]

    def errors_padded(self, count: int) -> list[float]:
        """The same for `count` iterations: a refinement that converged stays where it was."""
        return self.errors + self.errors[-1:] * (count - len(self.errors))

    @property
    def last(self) -> IterationResult:
        """The last iteration."""
        return self.iterations[-1]


def finished_run(
    folder: Path, method: Method, lab: LabSet, options: RefinementOptions, any_code: bool
) -> Run | None:
    """The run in `folder` if it is finished, else None."""
    record = folder / "result.json"
    if not record.exists():
        return None
    stored = json.loads(record.read_text())
    if stored["made_with"] != _made_with(method, lab, options):
        return None
    if stored["code"] != method.code and not any_code:
        return None
    return Run(
        method=method.name,
        seed=options.seed,
        particles=stored["particles"],
        code=stored["code"],
        iterations=[IterationResult(**values) for values in stored["iterations"]],
        evaluation=Evaluation.from_json(stored["evaluation"]),
        folder=folder,
    )


def make_run(
    folder: Path,
    method: Method,
    lab: LabSet,
    options: RefinementOptions,
    on_iteration: Callable[[IterationResult], None],
    on_wait: Callable[[], None],
) -> Run:
    """Refine, compare with the truth, and leave a record."""
    shutil.rmtree(folder, ignore_errors=True)
    code = method.code
    iterations = refine(lab, folder, options, method.hook, on_iteration, on_wait)
    evaluation = evaluate(lab, folder, options, iterations[-1].iteration)
    remove_heavy_files(folder, iterations[-1].iteration)
    record = {
        "made_with": _made_with(method, lab, options),
        "code": code,
        "particles": evaluation.particles,
        "iterations": [asdict(result) for result in iterations],
        "evaluation": evaluation.to_json(),
    }
    temporary = folder / "result.json.tmp"
    temporary.write_text(json.dumps(record, indent=1))
    temporary.replace(folder / "result.json")
    return Run(
        method.name, options.seed, evaluation.particles, code, iterations, evaluation, folder
    )


def remove_heavy_files(folder: Path, last_iteration: int) -> None:
    """Remove maps and arrays of all iterations, but the maps of the last."""
    last = f"run_it{last_iteration:03d}_half"
    for pattern in HEAVY_FILES:
        for path in folder.glob(pattern):
            is_map = path.name.endswith(("class001.mrc", "external_reconstruct.mrc"))
            if not (is_map and path.name.startswith(last)):
                path.unlink()


def _made_with(method: Method, lab: LabSet, options: RefinementOptions) -> dict[str, Any]:
    """All that decides a run, as JSON gives it back; but not how the interpreter was called."""
    words = None if method.hook is None else shlex.split(method.hook)
    hook = words[words.index("reconstruct") + 1 :] if words and "reconstruct" in words else words
    made_with = {
        "hook": hook,
        "set": json.loads(lab.record.read_text()),
        "count": lab.count,
        "refinement": asdict(options)
        | {"time_limit_s": None, "solvent_mask": options.solvent_mask is not None},
    }
    return dict(json.loads(json.dumps(made_with)))
