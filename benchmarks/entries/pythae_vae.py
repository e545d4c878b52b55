"""The VAE of pythae 0.1.2, with pythae's default networks and its trainer.

Install it with `.venv/bin/python -m pip install pythae`. The learning rate of 1e-3 and the batch
size of 200 are those of the first example in its README; z has 16 dimensions, and the optimizer is
pythae's default. Pixels are binarized anew in each epoch, because the measurement uses binary
pixels.
"""

import tempfile
from types import SimpleNamespace

import torch
from torch.distributions import Bernoulli, Independent, Normal

try:
    from pythae.data.datasets import BaseDataset, DatasetOutput
    from pythae.models import VAE, VAEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback
except ImportError:
    VAE = None

NAME = "pythae's VAE"


def as_measured(model):
    """Return the prior, likelihood and posterior of pythae's model in the form that
    `course_lib.evaluation.nll` needs.
    """
    latent = model.model_config.latent_dim

    def approximate_posterior(x):
        found = model.encoder(x.unflatten(-1, (1, 28, 28)))
        return Independent(Normal(found.embedding, torch.exp(0.5 * found.log_covariance)), 1)

    def likelihood(z):
        # in float32, because bfloat16 has no numbers between 0.996 and 1
        with torch.autocast(z.device.type, enabled=False):
            means = model.decoder(z.float().flatten(0, -2)).reconstruction.flatten(1)
        means = means.clamp(1e-6, 1 - 1e-6)  # in case a sigmoid is rounded to 0 or 1
        return Independent(Bernoulli(probs=means.unflatten(0, z.shape[:-1])), 1)

    prior = Independent(Normal(torch.zeros(latent), torch.ones(latent)), 1)
    return SimpleNamespace(
        prior=prior,
        likelihood=likelihood,
        approximate_posterior=approximate_posterior,
    )


def train(digits, seed, checkpoint):
    if VAE is None:
        raise SystemExit(
            "pythae is not installed. Install it with: .venv/bin/python -m pip install pythae"
        )

    class Checkpoint(TrainingCallback):
        def on_epoch_end(self, training_config, **given):
            model.eval()
            checkpoint(as_measured(model))

    class Binarized(BaseDataset):
        def __getitem__(self, index):
            return DatasetOutput(data=torch.bernoulli(self.data[index]), labels=self.labels[index])

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce")
    torch.manual_seed(seed)
    model = VAE(config)
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=10_000,  # the race's time limit ends the training
            learning_rate=1e-3,
            per_device_train_batch_size=200,
            per_device_eval_batch_size=200,
            no_cuda=True,
            seed=seed,
        )
        pipeline = TrainingPipeline(training_config=trainer, model=model)
        pipeline(
            train_data=Binarized(digits.images[:, None] / 255, digits.labels),
            callbacks=[Checkpoint()],
        )
