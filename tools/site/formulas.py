"""Formulas as MathML, for the site and for the slides."""

from __future__ import annotations

import re

from latex2mathml.converter import convert


def formula(tex: str, display: str = "inline") -> str:
    """MathML, which browsers draw themselves: no script, and nothing to fetch."""
    drawn = convert(tex, display=display)
    # as TeX sets them: a little room before what a function is taken of
    return re.sub(r"(<mi>(?:log|exp|ln)</mi>)", r'\1<mspace width="0.17em"/>', drawn)
