"""The code that the course's notebooks share: a core, and satellites that build on it.

The core consists of the following parts, in reading order. Each part imports only from the parts before it:
require, files, device, palette; data; probability; models; plots; training; evaluation. The folder `weights`
contains the shipped networks.

The satellites import the core, and the core never imports a satellite: mixtures, toy_gan, kernels, recipes,
shipped, figures, widgets, checks, grading.

docs/house.md describes every part and suggests what to read in one evening.
"""

__version__ = "0.1.0"
