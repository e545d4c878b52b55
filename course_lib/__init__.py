"""The code that the course's notebooks share: small modules, each read in one sitting.

A module imports only from those before it: device, data; gaussians, em, fast_em, mixtures, elbo; networks,
likelihoods, autoencoder, autoregressive, vae, conditional_vae, gan; kernels; files, checkpoints, rows, state,
cuda_graph, training; classifier, metrics, sample_metrics, gan_training, recipes; toy_gan; plots, gan_plots,
step_times, widgets, toy_gan_plots, checks.
"""

__version__ = "0.1.0"
