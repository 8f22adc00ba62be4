"""The Scheme in docs/schemes: whole, and in step with the program that it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import starfile

from relion_external.cli import command_parser
from relion_external.job_regularize import RAW_HALVES

SCHEME = Path(__file__).parents[1] / "docs" / "schemes" / "halfmaps"
JOBS = ("regularize", "postprocess")


def read(name: str) -> dict[str, Any]:
    return starfile.read(SCHEME / name, always_dict=True)


def job_options(job: str) -> dict[str, str]:
    table = read(f"{job}/job.star")["joboptions_values"]
    return dict(
        zip(table["rlnJobOptionVariable"], table["rlnJobOptionValue"].astype(str), strict=True)
    )


@pytest.fixture(scope="module")
def scheme() -> dict[str, Any]:
    return read("scheme.star")


def test_edges_lead_through_all_jobs_to_the_end(scheme: dict[str, Any]) -> None:
    edges = scheme["scheme_edges"]
    following = dict(
        zip(edges["rlnSchemeEdgeInputNodeName"], edges["rlnSchemeEdgeOutputNodeName"], strict=True)
    )
    node, passed = scheme["scheme_general"]["rlnSchemeCurrentNodeName"], []
    while node in following:
        passed.append(node)
        node = following[node]
    assert tuple(passed) == JOBS == tuple(scheme["scheme_jobs"]["rlnSchemeJobName"])
    assert node in set(scheme["scheme_operators"]["rlnSchemeOperatorName"])


@pytest.mark.parametrize(
    ("job", "kind"), [("regularize", "external"), ("postprocess", "postprocess")]
)
def test_jobs_are_of_their_type_and_name_variables_that_exist(
    scheme: dict[str, Any], job: str, kind: str
) -> None:
    assert read(f"{job}/job.star")["job"]["rlnJobTypeLabel"] == f"relion.{kind}"
    variables = set(scheme["scheme_floats"]["rlnSchemeFloatVariableName"])
    variables |= set(scheme["scheme_strings"]["rlnSchemeStringVariableName"])
    used = re.findall(r"\$\$(\w+)", " ".join(job_options(job).values()))
    assert used
    assert set(used) <= variables


def test_labels_are_options_of_the_job() -> None:
    options = job_options("regularize")
    labels = [value for name, value in options.items() if re.fullmatch(r"param\d+_label", name)]
    given = [label for label in labels if label not in ("", "nan")]
    assert given == ["particle_diameter"]
    assert all(f"--{label}" in command_parser("job").format_help() for label in given)


def test_the_next_job_takes_the_raw_half_map_that_ours_hands_on(scheme: dict[str, Any]) -> None:
    name = scheme["scheme_general"]["rlnSchemeName"]
    assert job_options("postprocess")["fn_in"] == f"{name}regularize/{RAW_HALVES[0]}"
