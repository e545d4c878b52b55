"""Live widgets: they run in the notebook, and their pictures and pages stay in the saved file."""

from course_lib.widgets.elbo_bars import ElboBars
from course_lib.widgets.em_stepper import EMStepper
from course_lib.widgets.live import Live

__all__ = ["EMStepper", "ElboBars", "Live"]
