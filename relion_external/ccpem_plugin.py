"""A job of the CCP-EM Pipeliner, and so of Doppio: regularise two raw half-maps.

The pipeliner finds it by the entry point in setup.cfg when both are installed in one environment.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeliner.display_tools import (
    create_results_display_object,
    make_maps_slice_montage_and_3d_display,
)
from pipeliner.external_program_utils import ExternalProgram
from pipeliner.job_options import (
    BooleanJobOption,
    FileDescription,
    FloatJobOption,
    InputNodeJobOption,
    JobOptionValidationResult,
    MultipleChoiceJobOption,
    StringJobOption,
)
from pipeliner.nodes import (
    NODE_DENSITYMAP,
    NODE_IMAGE3D,
    NODE_LOGFILE,
    NODE_MASK3D,
    NODE_VISUALISATIONSCRIPT,
)
from pipeliner.pipeliner_job import PipelinerCommand, PipelinerJob, Ref
from pipeliner.results_display_objects import ResultsDisplayObject

from relion_external import __version__

PROGRAM = "relion-external"

_MAP_FILE = FileDescription("3D map", [".mrc", ".map"])
_ADVANCED = "Advanced options"

_OF_METHOD = {"nonuniform": ("risk", "awf"), "denoiser": ("weights",)}
"""Options that a method alone has."""


class RegularizeHalfMaps(PipelinerJob):  # type: ignore[misc]
    """Local regularisation of two raw half-maps, by ``relion-external regularize``."""

    PROCESS_NAME = "relion_external.postprocess.local_regularization"
    OUT_DIR = "RelionExternal"
    CATEGORY_LABEL = "Map Postprocessing"

    def __init__(self) -> None:
        super().__init__()
        info = self.jobinfo
        info.display_name = "relion-external"
        info.version = __version__
        info.job_author = "the relion-external authors"
        info.short_desc = "Local regularisation of two raw half-maps"
        info.long_desc = (
            "Finds for every voxel the low-pass cutoff that cross-validation prefers, or denoises "
            "by a network, and writes the map, the local cutoffs, a sharpened map, the FSC of the "
            "raw half-maps and a report. No regularised half-map may be used for an FSC or a "
            "deposition."
        )
        info.programs = [ExternalProgram(_program(), PROGRAM, [_program(), "--version"])]
        info.references = [
            Ref(
                authors=["Punjani A", "Zhang H", "Fleet DJ"],
                title=(
                    "Non-uniform refinement: adaptive regularization improves single-particle "
                    "cryo-EM reconstruction"
                ),
                journal="Nature Methods",
                year="2020",
                volume="17",
                pages="1214-1221",
                doi="10.1038/s41592-020-00990-8",
            )
        ]
        self._add_inputs()
        self._add_advanced()
        self.get_runtab_options(threads=True, addtl_args=True)

    def additional_joboption_validation(self) -> list[JobOptionValidationResult]:
        """Two different half-maps; a mask makes the diameter needless."""
        half1, half2, mask, diameter = (
            self.joboptions[name]
            for name in ("half_map_1", "half_map_2", "mask", "particle_diameter")
        )
        results = []
        if half1.value and half1.value == half2.value:
            results.append(_result("error", [half1, half2], "These are the same file"))
        if mask.value and diameter.value:
            results.append(_result("warning", [mask, diameter], "With a mask, it is not used"))
        return results

    def create_output_nodes(self) -> None:
        """Outputs that every run makes."""
        self._add_map("regularized", NODE_DENSITYMAP, ["regularized"])
        if self.joboptions["method"].get_string() != "denoiser":  # which has no cutoffs
            self._add_map("cutoff", NODE_IMAGE3D, ["localresmap"])
        self.add_output_node("run_report.pdf", NODE_LOGFILE, ["relion_external", "report"])
        self.add_output_node("run.cxc", NODE_VISUALISATIONSCRIPT, ["chimerax"])
        self._add_map("mask", NODE_MASK3D, [])

    def create_post_run_output_nodes(self) -> None:
        """Add the sharpened map, which takes a resolution beyond 10 Å."""
        if (Path(self.output_dir) / "run_sharpened.mrc").exists():
            self._add_map("sharpened", NODE_DENSITYMAP, ["sharpened"])

    def get_commands(self) -> list[PipelinerCommand]:
        """Return the one command, to be run in the project folder."""
        text = {name: self.joboptions[name].get_string() for name in self.joboptions}
        command = [self.jobinfo.programs[0].command, "regularize"]
        command += ["--i", text["half_map_1"], "--i2", text["half_map_2"]]
        command += ["--o", str(Path(self.output_dir) / "run")]
        of_method = _OF_METHOD.get(text["method"], ())
        for name in ("mask", "particle_diameter", "sym", "method", *of_method, "gpu"):
            if text[name]:
                command += [f"--{name}", text[name]]
        if self.joboptions["skip_spectral_trailing"].get_boolean():
            command.append("--skip_spectral_trailing")
        command += ["--j", str(self.get_nr_threads()), *shlex.split(text["other_args"])]
        return [PipelinerCommand(command)]

    def create_results_display(self) -> Sequence[ResultsDisplayObject]:
        """Show the report, then slices and 3D views of the maps."""
        folder = Path(self.output_dir)
        maps = {
            str(folder / f"run_{name}.mrc"): title
            for name, title in (
                ("regularized", "regularised"),
                ("sharpened", "raw average, sharpened"),
                ("cutoff", "local cutoff (Å)"),
            )
            if (folder / f"run_{name}.mrc").exists()
        }
        report = create_results_display_object(
            "image",
            title="Report",
            image_path=str(folder / "run_report.png"),
            image_desc="Slices, FSC of the raw half-maps, FSC by direction, local cutoffs",
            associated_data=list(maps),
        )
        return [report, *make_maps_slice_montage_and_3d_display(maps, self.output_dir)]

    def _add_inputs(self) -> None:
        for number in (1, 2):
            self.joboptions[f"half_map_{number}"] = InputNodeJobOption(
                label=f"Raw half-map {number}",
                node_type=NODE_DENSITYMAP,
                node_kwds=["halfmap"],
                pattern=_MAP_FILE,
                help_text="Unfiltered and unmasked, such as run_half1_class001_unfil.mrc",
                is_required=True,
            )
        self.joboptions["mask"] = InputNodeJobOption(
            label="Mask",
            node_type=NODE_MASK3D,
            pattern=_MAP_FILE,
            help_text="Soft mask, 0 to 1, of where there can be density",
        )
        self.joboptions["particle_diameter"] = FloatJobOption(
            label="Particle diameter (Å)",
            default_value=None,
            hard_min=1.0,
            help_text="Without a mask: 0.85 of the box if not given",
        )
        self.joboptions["sym"] = StringJobOption(
            label="Symmetry",
            default_value="C1",
            help_text="Point group to impose on the half-maps first: Cn, Dn, O or I1",
        )

    def _add_advanced(self) -> None:
        self.joboptions["method"] = MultipleChoiceJobOption(
            label="Regularise by",
            choices=["nonuniform", "denoiser", "uniform"],
            default_value="nonuniform",
            help_text="nonuniform: local filter; denoiser: network; uniform: one Wiener filter",
            jobop_group=_ADVANCED,
        )
        self.joboptions["weights"] = StringJobOption(
            label="Weights of the denoiser",
            default_value="",
            help_text="File; by default as `relion-external doctor` tells",
            jobop_group=_ADVANCED,
        )
        self.joboptions["risk"] = MultipleChoiceJobOption(
            label="Judge cutoffs by",
            choices=["split-noise", "cross-half"],
            default_value="split-noise",
            help_text="split-noise: each half-map on its own; cross-half: one against the other",
            jobop_group=_ADVANCED,
        )
        self.joboptions["awf"] = FloatJobOption(
            label="Adaptive window factor",
            default_value=3.0,
            hard_min=0.1,
            help_text="Window in wavelengths; smaller follows boundaries more closely",
            jobop_group=_ADVANCED,
        )
        self.joboptions["skip_spectral_trailing"] = BooleanJobOption(
            label="Keep detail beyond FSC 0.143?",
            default_value=False,
            help_text="By default the maps end where the raw half-maps cease to agree",
            jobop_group=_ADVANCED,
        )
        self.joboptions["gpu"] = StringJobOption(
            label="GPU",
            default_value="auto",
            help_text="auto, cpu, or the number of a GPU",
            jobop_group="Running options",
        )

    def _add_map(self, name: str, node_type: str, keywords: list[str]) -> None:
        self.add_output_node(f"run_{name}.mrc", node_type, ["relion_external", *keywords])


def _program() -> str:
    """The script on the PATH, or else the one of this very environment."""
    return shutil.which(PROGRAM) or str(Path(sys.executable).with_name(PROGRAM))


def _result(kind: str, options: Sequence[object], message: str) -> JobOptionValidationResult:
    return JobOptionValidationResult(result_type=kind, raised_by=list(options), message=message)
