from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from relion_external.errors import UserError
from relion_external.fsc_xml import write_fsc_xml

# The head and the end of what relion_postprocess 3.1.3 wrote for a box of 64 at 1.5 Å.
RELIONS_FORM = """\
<fsc title="RELION masked-corrected FSC" xaxis="Resolution (A-1)" yaxis="Correlation Coefficient">
  <coordinate>
    <x>0.001001</x>
    <y>1</y>
  </coordinate>
  <coordinate>
    <x>0.0104167</x>
    <y>0.999928</y>
  </coordinate>
</fsc>
"""


def test_the_file_has_relions_form(tmp_path: Path) -> None:
    path = tmp_path / "fsc.xml"
    write_fsc_xml(path, np.array([1.0, 0.9999277]), 64, 1.5, "RELION masked-corrected FSC")
    assert path.read_text() == RELIONS_FORM


def test_points_are_spatial_frequency_and_correlation(tmp_path: Path) -> None:
    path = tmp_path / "fsc.xml"
    fsc = np.linspace(1, -0.01, 21)
    write_fsc_xml(path, fsc, 40, 1.25, 'unmasked, "raw" & <whole>')
    root = ElementTree.parse(path).getroot()
    assert root.get("title") == 'unmasked, "raw" & <whole>'
    points = [[float(axis.text or "nan") for axis in point] for point in root]
    np.testing.assert_allclose([y for _, y in points], fsc, atol=1e-6)
    np.testing.assert_allclose([x for x, _ in points[1:]], np.arange(1, 21) / 50, rtol=1e-5)


def test_what_is_not_finite_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "fsc.xml"
    path.write_text("before")
    with pytest.raises(UserError, match="not finite"):
        write_fsc_xml(path, np.array([1.0, np.nan]), 2, 1.0, "")
    assert path.read_text() == "before"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "fsc.xml"
    with pytest.raises(UserError, match=r"nowhere/fsc\.xml cannot be written: No such file"):
        write_fsc_xml(path, np.ones(3), 4, 1.0, "")
