"""The models, each the class that a chapter builds: auto-encoder, VAE, conditional VAE, pixel by pixel, GAN.

A model maps images in [0, 1] to what its loss needs, and does not train itself; `gan` alone also has one step
of each player. A new one is a new file here.
"""
