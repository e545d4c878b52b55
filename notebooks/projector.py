"""Draw a second version of each figure for a projector, while a notebook runs.

A figure in a notebook is read from a distance of half a metre. On a slide of 1280 × 720 pixels,
text must be at least 18 pixels high. Each figure that a slide shows is therefore drawn a second
time at a smaller size, where text and lines keep their absolute size and appear larger on the
screen. Matplotlib lays the figure out again. The picture is stored in notebooks/slides under the
hash of the notebook's picture, so a picture is not used any more after its figure has changed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import os
import shutil
from pathlib import Path
from typing import Any

KEPT = "COURSE_PROJECTOR"  # the environment variable with the folder into which a kernel writes

WIDE, HIGH = 1160, 440  # pixels on a slide for a figure with two lines of text below it
SMALLEST = 19  # pixels; the smallest type on such a slide
SHARP = 1.5  # so that the picture is sharp at 1920 × 1080, too
COLOURS = 128
TYPE = "type"  # the field of the PNG with the height of its smallest type in pixels


def name_of(png: str) -> str:
    """Return the file name of the projector's version of a picture, which is given in base64."""
    return hashlib.sha256(base64.b64decode(png)).hexdigest()[:16] + ".png"


# ---------------------------------------------------------------- drawing


def shown_type(figure: Any) -> float:
    """Return the height in pixels of the smallest type if the figure fills its space on a slide."""
    wide, high = shown_inches(figure)
    scale = min(WIDE / wide, HIGH / high)
    return smallest_type(figure) * scale / 72


def shown_inches(figure: Any) -> tuple[float, float]:
    """Return the size of the drawing, including everything outside the axes."""
    figure.draw_without_rendering()  # not every canvas has a renderer
    box = figure.get_tightbbox()
    return box.width + 0.2, box.height + 0.2  # with the margin that savefig adds


def smallest_type(figure: Any) -> float:
    """Return the smallest font size in a figure, in points."""
    return min(text.get_fontsize() for text in texts(figure))


def texts(figure: Any) -> list[Any]:
    from matplotlib.text import Text

    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def shrink(figure: Any) -> None:
    """Shrink the figure, but not its text, until the text is large enough on a slide."""
    for _ in range(4):  # legends do not shrink with the figure, so one step may not be enough
        found = shown_type(figure)
        if found >= SMALLEST:
            return
        factor = max(found / (SMALLEST + 0.5), 0.6)
        wide, high = figure.get_size_inches()
        shown_wide, shown_high = shown_inches(figure)
        room = shown_wide / shown_high * HIGH / WIDE  # above 1 if there is space above and below
        stretch = min(room, 1 / factor) if room > 1 and is_elastic(figure) else 1
        figure.set_size_inches(wide * factor, high * factor * stretch)


def is_elastic(figure: Any) -> bool:
    """Return whether the panels may become taller; the pixels of an image must stay square."""
    return all(axes.get_aspect() == "auto" for axes in figure.axes)


def hide_crowded(axes: Any) -> None:
    """Hide the numbers in a grid's cells if they overlap; from a distance, colours are enough."""
    numbers = [text for text in axes.texts if text.get_visible() and text.get_text().strip()]
    boxes = [text.get_window_extent() for text in numbers]
    pairs = itertools.combinations(boxes, 2)
    if axes.images and any(one.overlaps(other) for one, other in pairs):
        for text in numbers:
            text.set_visible(False)


def redrawn(figure: Any) -> bytes:
    """Return the figure for a projector as a PNG. The figure itself is changed."""
    from PIL import Image, PngImagePlugin

    if texts(figure):
        base = sorted(text.get_fontsize() for text in texts(figure))[len(texts(figure)) // 2]
        for text in texts(figure):  # enlarge text that is smaller than the rest
            text.set_fontsize(max(text.get_fontsize(), min(base, 11)))
        shrink(figure)
        for axes in figure.axes:
            hide_crowded(axes)
    wide, high = shown_inches(figure)
    scale = min(WIDE / wide, HIGH / high)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=scale * SHARP, bbox_inches="tight", facecolor="white")
    note = PngImagePlugin.PngInfo()
    height = smallest_type(figure) * scale * SHARP / 72 if texts(figure) else 100.0
    note.add_text(TYPE, f"{height:.1f}")
    picture = Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    smaller = io.BytesIO()
    picture.save(smaller, "PNG", optimize=True, pnginfo=note)
    return smaller.getvalue()


# ---------------------------------------------------------------- on disk


def folder_of(notebook: Path) -> Path:
    return notebook.parent / "slides" / notebook.stem[:2]


def store(kept: Path, saved_as: dict[str, str], folder: Path) -> int:
    """Replace the pictures in a chapter's folder with those of a run.

    saved_as: maps each picture that the kernel sent to the picture that the notebook stores, both
    in base64. Returns the number of pictures.
    """
    for old in folder.glob("*.png"):
        old.unlink()
    for sent, saved in saved_as.items():
        made = kept / name_of(sent)
        if made.exists():  # missing for a widget's strip, which is not displayed as a figure
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(made, folder / name_of(saved))
    return len(list(folder.glob("*.png")))


# ---------------------------------------------------------------- in the kernel


def keep() -> None:
    """Make this kernel store a second picture of each figure that it displays from now on."""
    from IPython.core import pylabtools

    plain = pylabtools.print_figure

    def print_figure(figure: Any, *arguments: Any, **settings: Any) -> Any:
        made = plain(figure, *arguments, **settings)
        if isinstance(made, str):
            size = figure.get_size_inches().copy()
            (Path(os.environ[KEPT]) / name_of(made)).write_bytes(redrawn(figure))
            figure.set_size_inches(size)
        return made

    pylabtools.print_figure = print_figure


def kernel_arguments() -> list[str]:
    """Return the arguments with which a kernel must be started so that it calls `keep`."""
    here = str(Path(__file__).resolve().parent)
    code = f"import sys; sys.path.append({here!r}); import projector; projector.keep()"
    return [f"--IPKernelApp.exec_lines={code}"]
