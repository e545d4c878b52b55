"""The course's data: images stored as bytes, drawings of the moon, and densities in closed form.

To add a data set, write a function in `corpora` that returns `Digits`. The rest of the package
assumes no particular image size or number of classes.
"""

from course_lib.data import densities
from course_lib.data.corpora import (
    course_digits,
    fashion_mnist,
    mnist,
    shipped_models_fit,
    svhn,
    uci_digits,
)
from course_lib.data.densities import (
    checkerboard,
    eight_modes,
    flower,
    log_normal,
    normal,
    pinwheel,
    ring,
    skyline,
    spiral,
    three_modes,
    two_modes,
    uniform,
)
from course_lib.data.digits import Digits, as_digits, binarize, fixed_binarization
from course_lib.data.download import AnotherDataSet
from course_lib.data.idx import read_idx
from course_lib.data.moons import draw_moon, moon_phases

__all__ = [
    "AnotherDataSet",
    "Digits",
    "as_digits",
    "binarize",
    "checkerboard",
    "course_digits",
    "densities",
    "draw_moon",
    "eight_modes",
    "fashion_mnist",
    "fixed_binarization",
    "flower",
    "log_normal",
    "mnist",
    "moon_phases",
    "normal",
    "pinwheel",
    "read_idx",
    "ring",
    "shipped_models_fit",
    "skyline",
    "spiral",
    "svhn",
    "three_modes",
    "two_modes",
    "uci_digits",
    "uniform",
]
