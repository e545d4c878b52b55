"""The models' probability functions: Gaussians, pixel likelihoods, priors, EM and the lower bound.

Most of the package consists of plain functions of tensors. All log-probabilities are in nats.
"""
