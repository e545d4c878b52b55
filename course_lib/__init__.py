"""The code shared by the course's notebooks: a core, and satellites that build on it.

The core consists of the following modules and packages, in reading order. Each imports only from those listed
before it: require, files, device, palette; data; probability; models; plots; training; evaluation. The folder
`weights` contains the shipped networks.

The satellites import the core, and the core never imports a satellite: mixtures, toy_gan, kernels, recipes,
shipped, figures, widgets, checks, grading.

docs/house.md describes every module and package, and suggests what to read in one evening.
"""

__version__ = "0.1.0"
