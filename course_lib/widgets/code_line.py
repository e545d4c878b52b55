"""Compare true images with those that one to four models decode from codes along a line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from course_lib.palette import BOUND, MODEL, PRIOR, PURPLE
from course_lib.widgets.live import Live
from course_lib.widgets.sprites import Decoder, data_url, image_stack, line_ends, pictures, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = {PURPLE: "--", MODEL: "-", BOUND: ":", PRIOR: "-."}  # in the order of the models


class CodeLine(Live):
    """A walk through a range of one-dimensional codes: each model's image, the nearest true image,
    and the distance between the two.

    decoders: maps the names of one to four models to functions. Each function takes float32 codes
    of shape (n, 1) on `device` and returns pixels in [0, 1] of shape (n, H, W), or (n, 3, H, W) for
    colour images.
    limits: maps the name of each model to (low, high); the position t in [0, 1] corresponds to the
    code low + t·(high − low).
    truth: true images of shape (M, H, W) or (M, 3, H, W); the distance is the square root of the
    sum of squared pixel differences.
    marks: maps model names to the codes of true images, of shape (K,), which are drawn as ticks
    below the curves.

    The images at all positions are decoded in advance, so the page needs no kernel. `t` is updated
    by the browser and can be set from Python; `distances` has shape (models, positions). Raises
    ValueError for invalid arguments.
    """

    script = Path(__file__).with_name("code_line.js")
    t = traitlets.Float(0.5, min=0, max=1).tag(sync=True)
    names: Any = traitlets.List().tag(sync=True)
    limits: Any = traitlets.List().tag(sync=True)  # (models, 2)
    shape: Any = traitlets.List().tag(sync=True)  # [positions, H, W, M]
    distances: Any = traitlets.List().tag(sync=True)  # empty without truth
    # indices of cells of the sprite
    nearest: Any = traitlets.List().tag(sync=True)  # (models, positions)
    marks: Any = traitlets.List().tag(sync=True)  # for each model, positions on the line
    sprite = traitlets.Unicode().tag(sync=True)  # one row of images per model, then true images

    def __init__(
        self,
        decoders: dict[str, Decoder],
        truth: Any = None,
        limits: Any = None,
        marks: Any = None,
        positions: int = 101,
        device: str = "cpu",
    ):
        import torch  # imported here, because decoders need it anyway

        ends = line_ends(decoders, limits)  # (models, 2)
        rows: list[np.ndarray] = []
        for (name, decode), (low, high) in zip(decoders.items(), ends, strict=True):
            codes = torch.linspace(low, high, positions, device=device)[:, None]  # (T, 1)
            rows.append(pictures(decode, codes, name))  # (T, 1, H, W, C)
        height, width, channels = rows[0].shape[2:]
        true = torch.zeros(0, height, width, channels)  # (M, H, W, C)
        if truth is not None:
            true = torch.from_numpy(image_stack(truth, "truth"))
        sizes = {row.shape[1:] for row in rows} | {(1, *true.shape[1:])}
        if len(sizes) > 1:
            found = sorted(f"({m}, {h}, {w}){' in colour' * (c == 3)}" for m, h, w, c in sizes)
            raise ValueError(f"All images must have the same size, but got {' and '.join(found)}.")
        self.images = np.concatenate(rows, 1).swapaxes(0, 1)  # (models, T, H, W, C)
        given: dict[str, Any] = {"names": list(decoders), "limits": ends, "marks": []}
        for name, (low, high) in zip(decoders, ends, strict=True):
            codes = torch.as_tensor((marks or {}).get(name, [])).double()  # (K,)
            spots = (codes - low) / (high - low)
            given["marks"].append(spots.flatten().tolist())
        given["shape"] = [positions, height, width, len(true)]
        if len(true):
            flat = torch.from_numpy(self.images).double().flatten(2)  # (models, T, D)
            far = torch.cdist(
                flat, true.double().flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
            )
            distances, places = far.min(2)  # (models, T)
            # only the true images that are shown are sent
            used, nearest = places.unique(return_inverse=True)
            given |= {
                "distances": distances.tolist(),
                "nearest": (nearest + len(rows) * positions).tolist(),
            }
            true = torch.cat(
                [true[used], true.new_zeros(-len(used) % positions, height, width, channels)]
            )
        below = true.reshape(-1, positions, height, width, channels).numpy()
        cells = np.concatenate([self.images, below])  # (rows, T, H, W, C)
        super().__init__(**given, sprite=data_url(cells))

    def strip(self) -> "Figure":
        """Draw the images of each model at eleven positions,
        above a plot of the distances along the line.
        """
        from matplotlib.figure import Figure

        n, known, t = len(self.names), bool(self.distances), np.linspace(0, 1, self.shape[0])
        some = np.linspace(0, len(t) - 1, 11).round().astype(int)
        figure = Figure(figsize=(9, 0.9 * n + 2.4 * known), dpi=72, layout="constrained")
        heights = [1] * n + [2.6] * known
        panels = figure.subplots(n + known, height_ratios=heights, squeeze=False)[:, 0]
        for i, (name, (colour, dash)) in enumerate(zip(self.names, LINES.items(), strict=False)):
            film = sheet(self.images[i : i + 1, some])
            panels[i].imshow(film, "gray", extent=(-0.05, 1.05, 0, 1), aspect="auto")
            panels[i].set(xticks=[], yticks=[])
            panels[i].set_ylabel(name, rotation=0, ha="right", va="center")
            if known:
                panels[n].plot(t, self.distances[i], dash, color=colour, label=name)
        if known:
            panels[n].set(
                xlim=(-0.05, 1.05), ylim=0, xlabel="position", ylabel="distance to a true image"
            )
            panels[n].legend()
        return figure
