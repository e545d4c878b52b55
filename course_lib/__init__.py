"""The code shared by the course's notebooks: a core, and satellites that build on it.

The core consists of the following modules and packages, in reading order: require, files, device,
palette; data; probability; models; plots; training; evaluation. Each module or package imports only
from those listed before it. The folder `weights` contains the shipped networks.

The satellites (mixtures, toy_gan, kernels, recipes, shipped, figures, widgets, checks and grading)
import the core, but the core never imports a satellite.

docs/house.md is a map of these rooms, and suggests what to read in one evening.
"""

__version__ = "0.1.0"
