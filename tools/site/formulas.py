"""Convert formulas to MathML, for the site and for the slides."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

# Patterns in the converter's output, and replacements that browsers draw as TeX would.
MENDED = [
    # a small space before a function and before its argument
    (
        r"(</mi>|</mn>|</msub>|&#x00029;</mo>)(<mi>(?:log|exp|ln|sin|cos)</mi>)",
        r'\1<mspace width="0.17em"/>\2',
    ),
    (r"(<mi>(?:log|exp|ln)</mi>)", r'\1<mspace width="0.17em"/>'),
    # no space after a leading minus sign
    (
        r"(&#x00028;</mo>|&#x0003D;</mo>|&#x0002C;</mo>)<mo>&#x02212;</mo>",
        r'\1<mo form="prefix">&#x02212;</mo>',
    ),
    # a prime is already raised
    (
        r"<msup>(<mi>[^<]*</mi>)<mi>(&#x02032;)</mi></msup>",
        r'\1<mo lspace="0em" rspace="0em">\2</mo>',
    ),
    # the variable goes below min and max, if there is space
    (
        r"<msub><mo>(min|max)</mo>(<mi>[^<]*</mi>)</msub>",
        r'<munder><mo movablelimits="true" lspace="0em" rspace="0.17em">\1</mo>\2</munder>',
    ),
    # "is distributed as" is a relation, with space on both sides
    (r"<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>"),
    # Chromium omits parts of a long brace, so the style sheets draw a brace below this class
    (r"<munder><munder><mrow>", '<munder><mrow class="braced">'),
    (r"<mo>&#x23DF;</mo></munder>", ""),
]


def formula(tex: str, display: str = "inline") -> str:
    """Convert a TeX formula to MathML, which browsers draw without a script."""
    # The bars of a norm keep their height: an exponent often belongs only to the closing bar.
    drawn = convert(re.sub(r"\\[lr]?Vert\b", r"\\|", tex), display=display)
    for found, mended in MENDED:
        drawn = re.sub(found, mended, drawn)
    return drawn
