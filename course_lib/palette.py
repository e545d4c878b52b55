"""The course's colours: one meaning each, wherever data, models and bounds are drawn.

Nothing is imported here, so that the widgets know their colours without PyTorch and Matplotlib.
"""

# Okabe & Ito's palette: told apart with every common kind of colour blindness, and in grey print by label
DATA, MODEL, Q, BOUND, GAP, PRIOR = "#000000", "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
# Darker, for words on white: a contrast of 4 to 1 at least
Q_TEXT, BOUND_TEXT, GAP_TEXT = "#A86F00", "#007A59", "#B34700"
# For what has no name of its own
PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
# Eight of equal rank, after Okabe and Ito; their green, vermilion, yellow and grey are changed, so that any
# two differ by 20 in CIELAB at least with every common kind of colour blindness (tests/test_widgets_em.py)
COMPONENTS = ("#0072B2", "#E69F00", "#006B50", "#CC79A7", "#56B4E9", "#C65500", "#F5EE80", "#222222")

# For the widgets' scripts, under the names that they use
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
