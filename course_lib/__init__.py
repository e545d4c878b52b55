"""The code that the course's notebooks share: a core, and satellites around it.

docs/house.md says what of it to read in an evening.

The core, in reading order; each room imports only from those before it: require, files, device, palette;
data; probability; models; plots; training; evaluation (`weights` holds the shipped networks).

The satellites import the core, and the core never imports them: mixtures, toy_gan, kernels, recipes, shipped,
figures, widgets, checks, grading. docs/house.md is the map.
"""

__version__ = "0.1.0"
