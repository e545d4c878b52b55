"""The course's colours: each has the same meaning in all figures that show data, models or bounds.

This module imports nothing, so the widgets can use its colours without loading
PyTorch or Matplotlib.
"""

# Okabe and Ito's palette, whose colours can be distinguished with every common kind of colour
# blindness. In greyscale they cannot, so curves also need labels.
DATA, MODEL, Q, BOUND, GAP, PRIOR = "#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
# Darker shades for text on white, with a contrast of at least 4 to 1
Q_TEXT, BOUND_TEXT, GAP_TEXT = "#A86F00", "#007A59", "#B34700"
# For anything that has no colour of its own
PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
# Eight colours for items of equal importance, adapted from Okabe and Ito. The green, vermilion,
# yellow and grey were changed so that any two colours differ by at least 20 in CIELAB with every
# common kind of colour blindness (see tests/test_widgets_em.py).
COMPONENTS = (
    "#0072B2",
    "#E69F00",
    "#006B50",
    "#CC79A7",
    "#56B4E9",
    "#C65500",
    "#F5EE80",
    "#222222",
)

# The colours by the names used in the widgets' scripts
FOR_SCRIPTS = {
    "data": DATA,
    "model": MODEL,
    "q": Q,
    "bound": BOUND,
    "gap": GAP,
    "prior": PRIOR,
    "qText": Q_TEXT,
    "boundText": BOUND_TEXT,
    "gapText": GAP_TEXT,
    "purple": PURPLE,
    "sky": SKY,
    "yellow": YELLOW,
    "components": COMPONENTS,
}
