"""The code that the course's notebooks share: small modules, each read in one sitting.

A module imports only from those above it: device, data, gaussians, mixtures, elbo, plots, widgets, checks.
"""

__version__ = "0.1.0"
