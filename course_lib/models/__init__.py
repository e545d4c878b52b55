"""The models in the chapters: auto-encoder, VAE, conditional VAE, autoregressive models and GAN.

Each model computes its loss from images with pixels in [0, 1]. Training is left to
`course_lib.training`, except that `gan` contains an update step for each player. To add a model,
add a module to this package.
"""
