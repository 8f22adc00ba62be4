"""Tables and figures of the laboratory's runs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from evaluation import PARTS
from runs import Run
from scipy.ndimage import gaussian_filter
from sets import LabSet

from plugin_core.fourier import apply_radial, irfftn, radii, raised_cosine_low_pass, rfftn
from relion_external.panels import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILION,
    central_slice,
    frequencies,
    fsc_axis,
    save,
)
from relion_external.volumes import read_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#000000", VERMILION, BLUE, GREEN, PURPLE, ORANGE, "#56B4E9")
STYLES = ("-", "--", "-.", ":")
ERROR_WINDOW = 6.0  # Å, standard deviation over which local errors are averaged


def write_report(folder: Path, name: str, about: str, runs: Sequence[Run]) -> None:
    """Write report.md, runs.csv and the figures of all runs of a set."""
    most = max(run.particles for run in runs)
    full = [run for run in runs if run.particles == most]
    parts = [_markdown(name, about, full)]
    counts = sorted({run.particles for run in runs})
    if len(counts) > 1:
        parts.append(_efficiency_table(runs, counts))
        draw_efficiency(folder / "efficiency.png", runs, counts)
    (folder / "report.md").write_text("\n".join(parts))
    _write_csv(folder / "runs.csv", runs)
    draw_errors(folder / "errors.png", full)
    draw_fsc(folder / "fsc.png", full)
    draw_local_errors(folder / "local_errors.png", full)


def _names(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(run.method for run in runs))


def _of(runs: Sequence[Run], method: str) -> list[Run]:
    return [run for run in runs if run.method == method]


def _markdown(name: str, about: str, runs: Sequence[Run]) -> str:
    steps = max(len(run.iterations) for run in runs)
    lines = [
        f"# {name}: {about}",
        "",
        f"{runs[0].particles} particles, box {runs[0].evaluation.box}, "
        f"{runs[0].evaluation.voxel_size:g} Å a voxel. Means over the seeds.",
        "",
        "Median angular error to the true poses, degrees, by iteration (a refinement that has "
        "converged, in RELION's judgement, stays where it was):",
        "",
        "| method | seeds | "
        + " | ".join(str(i) for i in range(steps))
        + " | spread of the last |",
        "|---|---|" + "---|" * (steps + 1),
    ]
    for method in _names(runs):
        mine = _of(runs, method)
        errors = np.mean([run.errors_padded(steps) for run in mine], axis=0)
        last = [run.errors[-1] for run in mine]
        cells = [f"`{method}`", ", ".join(str(run.seed) for run in mine)]
        cells += [f"{error:.2f}" for error in errors]
        lines.append("| " + " | ".join([*cells, f"{min(last):.2f} to {max(last):.2f}"]) + " |")
    lines += [
        "",
        "After the last iteration. Agreement: resolution to which the FSC to the truth of a map of "
        "all particles, made from the last poses, stays above 0.5. RELION's own: the resolution it "
        "reports. Excess: the most, over shells beyond 40 Å, by which RELION's FSC exceeds the "
        "square of the half-maps' FSC to the truth, which independent errors predict.",
        "",
        "| method | angle, ratio to the first | shift, Å | whole, Å | rigid, Å | disordered, Å | "
        "RELION's own, Å | excess | minutes | code |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    first = np.mean([run.errors[-1] for run in _of(runs, _names(runs)[0])])
    for method in _names(runs):
        mine = _of(runs, method)
        cells = [
            f"`{method}`",
            f"{_mean(mine, lambda run: run.errors[-1]) / first:.2f}",
            f"{_mean(mine, lambda run: run.last.origin_error):.2f}",
            *(_resolution(mine, part) for part in PARTS),
            f"{_mean(mine, lambda run: run.last.resolution or np.inf):.1f}",
            f"{_mean(mine, lambda run: run.evaluation.flattery):.3f}",
            f"{_mean(mine, lambda run: run.last.seconds) / 60:.1f}",
            ", ".join(sorted({run.code for run in mine})),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _mean(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return float(np.mean([value(run) for run in runs]))


def _resolution(runs: Sequence[Run], part: str) -> str:
    if part not in runs[0].evaluation.to_truth:
        return ""
    return f"{_mean(runs, lambda run: run.evaluation.resolution(part)):.1f}"


def _efficiency_table(runs: Sequence[Run], counts: Sequence[int]) -> str:
    lines = [
        "Median angular error in degrees after the last iteration, and agreement of the rigid part "
        "with the truth in Å, by number of particles:",
        "",
        "| method | " + " | ".join(str(count) for count in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    for method in _names(runs):
        cells = []
        for count in counts:
            mine = [run for run in _of(runs, method) if run.particles == count]
            if mine:
                angle = _mean(mine, lambda run: run.errors[-1])
                cells.append(f"{angle:.2f}, {_resolution(mine, 'rigid')} Å")
            else:
                cells.append("")
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _write_csv(path: Path, runs: Sequence[Run]) -> None:
    """One row an iteration; agreements and RELION's excess on the row of the last."""
    columns = [
        *("method", "seed", "particles", "code", "iteration", "angular_error_degrees"),
        *("origin_error_angstrom", "relion_resolution_angstrom", "seconds"),
        *(f"{part}_fsc_half_angstrom" for part in PARTS),
        "relion_fsc_excess",
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for run in runs:
            for result in run.iterations:
                row: dict[str, Any] = {
                    "method": run.method,
                    "seed": run.seed,
                    "particles": run.particles,
                    "code": run.code,
                    "iteration": result.iteration,
                    "angular_error_degrees": round(result.angular_error, 4),
                    "origin_error_angstrom": round(result.origin_error, 4),
                    "relion_resolution_angstrom": result.resolution,
                    "seconds": round(result.seconds, 1),
                }
                if result is run.last:
                    for part in run.evaluation.to_truth:
                        row[f"{part}_fsc_half_angstrom"] = round(run.evaluation.resolution(part), 2)
                    row["relion_fsc_excess"] = round(run.evaluation.flattery, 4)
                writer.writerow(row)


def draw_errors(path: Path, runs: Sequence[Run]) -> None:
    """Angular and shift error against iteration: a line per method, faint ones per seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for axis, label, value in (
        (panels[0], "median angular error (degrees)", lambda result: result.angular_error),
        (panels[1], "median shift error (Å)", lambda result: result.origin_error),
    ):
        for index, method in enumerate(_names(runs)):
            lines = [[value(result) for result in run.iterations] for run in _of(runs, method)]
            for line in lines:
                axis.plot(line, color=_colour(index), alpha=0.3, linewidth=0.8)
            shared = min(len(line) for line in lines)  # a converged refinement has fewer
            mean = np.mean([line[:shared] for line in lines], axis=0)
            _line(axis, index, np.arange(shared), mean, method)
        axis.set_xlabel("iteration (0: the start)")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
    panels[0].legend(frameon=False, fontsize=8)
    save(figure, path, "png")


def draw_fsc(path: Path, runs: Sequence[Run]) -> None:
    """FSC to the truth by part, and RELION's own against what agreement with truth predicts."""
    from matplotlib.figure import Figure

    parts = [part for part in PARTS if part in runs[0].evaluation.to_truth]
    figure = Figure(figsize=(4.6 * (len(parts) + 1), 3.9), layout="constrained")
    panels = figure.subplots(1, len(parts) + 1)
    box, voxel_size = runs[0].evaluation.box, runs[0].evaluation.voxel_size
    for axis, part in zip(panels, parts, strict=False):
        for index, method in enumerate(_names(runs)):
            curve = np.mean([r.evaluation.to_truth[part] for r in _of(runs, method)], axis=0)
            frequency = frequencies(len(curve), box, voxel_size)
            _line(axis, index, frequency, curve, method, marker="")
        fsc_axis(axis, voxel_size, threshold=0.5)
        axis.set_title(f"map from the last poses against the truth: {part}", fontsize=9)
    axis = panels[-1]
    for index, method in enumerate(_names(runs)):
        mine = _of(runs, method)
        own = np.mean([run.evaluation.relions_own for run in mine], axis=0)
        predicted = np.mean([np.square(run.evaluation.half_to_truth) for run in mine], axis=0)
        frequency = frequencies(len(own), box, voxel_size)
        _line(axis, index, frequency, own, method, marker="")
        axis.plot(frequency, predicted, ":", color=_colour(index), linewidth=1)
    fsc_axis(axis, voxel_size, threshold=0.143)
    axis.set_title("RELION's FSC; dotted: (half-map to truth)²", fontsize=9)
    panels[0].legend(frameon=False, fontsize=8)
    save(figure, path, "png")


def draw_efficiency(path: Path, runs: Sequence[Run], counts: Sequence[int]) -> None:
    """Inverse squared resolution, and pose error, against the number of particles.

    As Punjani et al., Figure 6, with the resolution of the agreement with the truth.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    values = (
        (panels[0], "1 / resolution² (1/Å²), rigid part", lambda run: _inverse_square(run)),
        (panels[1], "median angular error (degrees)", lambda run: run.errors[-1]),
    )
    for axis, label, value in values:
        for index, method in enumerate(_names(runs)):
            there = [n for n in counts if any(r.particles == n for r in _of(runs, method))]
            line = [
                np.mean([value(run) for run in _of(runs, method) if run.particles == count])
                for count in there
            ]
            _line(axis, index, np.array(there), np.array(line), method)
        axis.set_xscale("log")
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.set_xlabel("particles")
        axis.set_ylabel(label)
        axis.grid(alpha=0.25)
    panels[0].legend(frameon=False, fontsize=8)
    save(figure, path, "png")


def _inverse_square(run: Run) -> float:
    return run.evaluation.resolution("rigid") ** -2


def draw_local_errors(path: Path, runs: Sequence[Run]) -> None:
    """Central slices of the local error of the maps from the last poses, first seed.

    All maps and the truth are low-passed alike, at the finest agreement reached by any.
    """
    from matplotlib.figure import Figure

    shown = [run for run in runs if run.seed == runs[0].seed]
    voxel_size = shown[0].evaluation.voxel_size
    finest = min(run.evaluation.resolution("whole") for run in shown)
    lab = LabSet(shown[0].folder.parent / "set")
    truth = _low_passed(lab.mean_map, shown[0].evaluation.box, finest, voxel_size)
    inside = read_map(lab.rigid_mask, len(truth)) > 0.5
    scale = float(np.sqrt(np.mean(truth[inside] ** 2)))
    figure = Figure(figsize=(3.1 * (len(shown) + 1), 3.4), layout="constrained")
    panels = figure.subplots(1, len(shown) + 1)
    panels[0].imshow(central_slice(truth), cmap="gray", origin="lower")
    panels[0].set_title(f"truth, mean of the particles, {finest:.1f} Å", fontsize=9)
    errors = []
    for run in shown:
        volume = _low_passed(run.folder / "final.mrc", len(truth), finest, voxel_size)
        squared = gaussian_filter((volume - truth) ** 2, ERROR_WINDOW / voxel_size)
        errors.append(central_slice(np.sqrt(squared.clip(0)) / scale))
    worst = float(np.max(errors))
    for axis, run, error in zip(panels[1:], shown, errors, strict=True):
        image = axis.imshow(error, cmap="magma", origin="lower", vmin=0, vmax=worst)
        axis.set_title(f"local error, {run.method}", fontsize=9)
    figure.colorbar(image, ax=panels[1:].tolist(), label="error / rms density of the rigid part")
    for axis in panels:
        axis.set_xticks([])
        axis.set_yticks([])
    save(figure, path, "png")


def _low_passed(path: Path, box: int, resolution: float, voxel_size: float) -> np.ndarray:
    gain = raised_cosine_low_pass(radii(box), box * voxel_size / resolution, edge_width=3.0)
    return irfftn(apply_radial(rfftn(read_map(path, box)), gain), box)


def _line(
    axis: Axes, index: int, x: np.ndarray, y: np.ndarray, label: str, marker: str = "o"
) -> None:
    style = STYLES[index // len(COLOURS) % len(STYLES)]
    axis.plot(x, y, style, color=_colour(index), marker=marker, markersize=4, label=label)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
