"""PyTorch's VAE example (784-400-20, batches of 128, Adam at 1e-3), trained on binarized pixels."""

import sys
from pathlib import Path

import torch

from course_lib.models.vae import VAE

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from vae import Tutorial

NAME = "PyTorch's VAE example"


def train(digits, seed, checkpoint):
    tutorial = Tutorial(digits)
    torch.manual_seed(seed)
    tutorial.model = VAE()  # initialized again, because Tutorial always uses seed 0
    tutorial.optimizer = torch.optim.Adam(tutorial.model.parameters(), lr=1e-3)
    while True:
        tutorial.epoch()
        checkpoint(tutorial.model)
