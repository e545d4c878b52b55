"""Live notebook widgets that embed a static picture and a working page in the saved file.

Each widget consists of a Python module and JavaScript files whose names begin with the module's
name. The code shared by all widgets is in `live`.
"""

from course_lib.widgets.code_line import CodeLine
from course_lib.widgets.elbo_bars import ElboBars
from course_lib.widgets.em_stepper import EMStepper
from course_lib.widgets.latent_explorer import LatentExplorer
from course_lib.widgets.live import Live
from course_lib.widgets.quiz import Quiz
from course_lib.widgets.toy_gan import ToyGAN

__all__ = ["CodeLine", "EMStepper", "ElboBars", "LatentExplorer", "Live", "Quiz", "ToyGAN"]
