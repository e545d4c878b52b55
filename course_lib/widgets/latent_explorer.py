"""A plane of codes in which the user moves a point z and sees the image decoded from it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from course_lib.palette import COMPONENTS
from course_lib.widgets.asking import ASKING, Asking
from course_lib.widgets.sprites import Decoder, data_url, pictures, plane_points, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS = 700_000  # in all decoded images together, so that the compressed sprite is still clear


class LatentExplorer(Asking):
    """A latent plane in which the user drags a point and sees the image or images decoded from it.

    decode: a function of z (n, 2), float32 on `device`, that returns pixels in [0, 1] of shape
    (n, H, W), (n, 3, H, W) in colour, (n, m, H, W) for m grey images, or (n, m, 3, H, W) for m
    colour images; m images are shown side by side. points: the codes (N, 2) of at most 3,000 test
    digits. labels: the digits (N,), from 0 to 9, that are drawn at the points. limits: the plane
    extends from −limits to limits. size: the maximum width of the plane on the screen, in CSS
    pixels.

    `z` is updated by the browser and can be set from Python; `refresh()` decodes all images again.
    Raises ValueError for invalid arguments.
    """

    script = (ASKING, Path(__file__).with_name("latent_explorer.js"))
    z = traitlets.List(traitlets.Float(), [0.0, 0.0], 2, 2).tag(sync=True)
    limits = traitlets.Float(3.0, min=1e-3).tag(sync=True)
    size = traitlets.Int(420, min=260, max=800).tag(sync=True)
    names = traitlets.List(traitlets.Unicode(), ["z1", "z2"], 2, 2).tag(sync=True)
    points: Any = traitlets.List().tag(sync=True)
    labels: Any = traitlets.List().tag(sync=True)
    # the colours of components and three more; each point also shows its digit, not only a colour
    colours = traitlets.List([*COMPONENTS[:7], "#C9C9C9", "#7A3B10", "#222222"]).tag(sync=True)
    shape: Any = traitlets.List().tag(sync=True)  # [points along a side of the grid, m, H, W]
    channels = traitlets.Int(1).tag(sync=True)  # 1: grey, 3: red, green, blue
    sprite = traitlets.Unicode().tag(sync=True)  # the decoded grid, its top row first

    def __init__(
        self,
        decode: Decoder,
        points: Any = None,
        labels: Any = None,
        limits: float = 3.0,
        size: int = 420,
        names: tuple[str, str] = ("z1", "z2"),
        device: str = "cpu",
    ):
        import torch  # imported here, because decoders need it anyway

        self.decode, self.device = decode, device
        m, height, width, channels = pictures(decode, torch.zeros(2, 2, device=device)).shape[1:]
        # With 25 points per side, those from −3 to 3 are 0.25 apart, and the page blends between
        # them. With ten images per code there are fewer, so that the page stays small. An odd
        # number includes z = 0.
        side = min(25, max(3, int((PIXELS / (m * height * width * channels)) ** 0.5)))
        side -= 1 - side % 2
        given = {"limits": limits, "size": size, "names": list(names), "channels": channels}
        given["shape"] = [side, m, height, width]
        super().__init__(**given, **plane_points(points, labels))
        self.refresh()

    def answer(self, question: dict[str, Any]) -> np.ndarray:
        """Decode question["z"], of shape (n, 2), to rows of shape (n, F).

        A row contains the time in ms, followed by m·H·W·C bytes viewed as floats.
        """
        import torch

        start = time.perf_counter()
        z = torch.tensor(question["z"], dtype=torch.float32, device=self.device)  # (n, 2)
        flat = sheet(pictures(self.decode, z).reshape(len(z), 1, 1, -1, 1))  # (n, m·H·W·C), uint8
        rows = np.pad(flat, ((0, 0), (4, -flat.shape[1] % 4))).view("<f4")  # a quarter of the bytes
        rows[:, 0] = 1000 * (time.perf_counter() - start)
        return rows

    def refresh(self) -> None:
        """Decode all images again, for example after further training of the decoder."""
        import torch

        line = torch.linspace(-self.limits, self.limits, self.shape[0], device=self.device)
        z = torch.cartesian_prod(-line, line).flip(1)  # (side², 2), the top row first
        with self.lock:
            decoded = pictures(self.decode, z)  # (side², m, H, W, C)
            self.grid = decoded.reshape(len(line), len(line), *decoded.shape[1:])
            self.sprite = data_url(self.grid.reshape(len(line), -1, *decoded.shape[2:]))
        self.send({"changed": True})

    def strip(self) -> "Figure":
        """Draw the points beside the decoded grid or, for m > 1, beside images along each axis."""
        from matplotlib.figure import Figure

        m, height = self.shape[1:3]
        # more than thirteen in a row would be too small to see
        every = 2 if len(self.grid) > 13 else 1
        grid = self.grid[::every, ::every]  # (side, side, m, H, W, C)
        side = len(grid)
        line, edge = np.linspace(-self.limits, self.limits, side), self.limits * side / (side - 1)
        ends, (one, two) = (-edge, edge), self.names
        figure = Figure(figsize=(10.4, 4.8 if m == 1 else 3.9), dpi=72, layout="constrained")
        *first, last = figure.subplots(1, (m > 1) + 1 + bool(self.points), squeeze=False)[0]
        if self.points:
            points, labels = np.array(self.points), np.array(self.labels or [9] * len(self.points))
            for d in set(labels.tolist()):
                x, y = points[labels == d].T
                look = {
                    "marker": f"${d}$" if self.labels else ".",
                    "edgecolors": "k",
                    "linewidths": 0.3,
                }
                first[0].scatter(x, y, 36, self.colours[d], **look)
            first[0].set(
                xlim=ends, ylim=ends, aspect="equal", xlabel=one, ylabel=two, title="encoded images"
            )
        if m == 1:
            last.imshow(sheet(grid[:, :, 0]), "gray", extent=ends + ends)
            last.set(title="decoded points of the plane", xlabel=one, ylabel=two)
            return figure
        along = (first[-1], grid[side // 2], line), (last, grid[:, side // 2], -line)
        for name, (axes, cells, values) in zip(self.names, along, strict=True):
            axes.imshow(sheet(cells), "gray")
            axes.set(xticks=[], title=f"decoded along {name}", ylabel=name)
            ticks = [f"{v:z.1f}".replace("-", "−") for v in values]
            axes.set_yticks(height * (np.arange(side) + 0.5), ticks)
        return figure
