"""The course's data: digits as bytes on the device, moons drawn by us, densities known exactly."""

from course_lib.data import densities
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
from course_lib.data.digits import Digits, binarize, fixed_binarization, mnist, svhn, uci_digits
from course_lib.data.idx import read_idx
from course_lib.data.moons import draw_moon, moon_phases

__all__ = [
    "Digits", "binarize", "checkerboard", "densities", "draw_moon", "eight_modes", "fixed_binarization",
    "flower", "log_normal", "mnist", "moon_phases", "normal", "pinwheel", "read_idx", "ring", "skyline",
    "spiral", "svhn", "three_modes", "two_modes", "uci_digits", "uniform",
]  # fmt: skip
