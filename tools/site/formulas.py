"""Formulas as MathML, for the site and for the slides."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

# What the converter makes of TeX, and what browsers need to draw it as TeX does.
MENDED = [
    # a little room before a function, and before its argument
    (
        r"(</mi>|</mn>|</msub>|&#x00029;</mo>)(<mi>(?:log|exp|ln|sin|cos)</mi>)",
        r'\1<mspace width="0.17em"/>\2',
    ),
    (r"(<mi>(?:log|exp|ln)</mi>)", r'\1<mspace width="0.17em"/>'),
    # a leading minus sign stands close to what follows it
    (
        r"(&#x00028;</mo>|&#x0003D;</mo>|&#x0002C;</mo>)<mo>&#x02212;</mo>",
        r'\1<mo form="prefix">&#x02212;</mo>',
    ),
    # a prime is already raised
    (r"<msup>(<mi>[^<]*</mi>)<mi>(&#x02032;)</mi></msup>", r'\1<mo lspace="0em" rspace="0em">\2</mo>'),
    # what is varied stands below min and max, where there is room
    (
        r"<msub><mo>(min|max)</mo>(<mi>[^<]*</mi>)</msub>",
        r'<munder><mo movablelimits="true" lspace="0em" rspace="0.17em">\1</mo>\2</munder>',
    ),
    # "is distributed as" is a relation, with room on both sides
    (r"<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>"),
    # Chromium leaves out parts of a long brace; the style sheets draw one below what has this class
    (r"<munder><munder><mrow>", '<munder><mrow class="braced">'),
    (r"<mo>&#x23DF;</mo></munder>", ""),
]


def formula(tex: str, display: str = "inline") -> str:
    """MathML, which browsers draw themselves: no script, and nothing to fetch."""
    # The bars of a norm keep their height, for the second one often stands alone below an exponent.
    drawn = convert(re.sub(r"\\[lr]?Vert\b", r"\\|", tex), display=display)
    for found, mended in MENDED:
        drawn = re.sub(found, mended, drawn)
    return drawn
