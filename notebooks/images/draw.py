"""Draw course.png, the picture in the README.

Run it with `python notebooks/images/draw.py`, which takes half a minute.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.decomposition import PCA
from torch.distributions import Normal

from course_lib import plots
from course_lib.data import mnist, pinwheel
from course_lib.mixtures import GaussianMixture
from course_lib.probability.elbo import Bound, LatentModel, elbo

torch.set_default_dtype(torch.float64)
plots.use_style()

# For x = 2, z ~ N(0, 1), x|z ~ N(w z, ½²), q raises the bound, and then P (chapter 02, section 5).
grid = torch.linspace(-8, 8, 1601)


def bound(w: float, mean: float, std: float) -> Bound:
    model = LatentModel(Normal(torch.tensor(0.0), torch.tensor(1.0)), lambda z: Normal(w * z, 0.5))
    return elbo(
        model, Normal(torch.tensor([mean]), torch.tensor([std])), torch.tensor([2.0]), grid=grid
    ).mean()


w = 0.7
mean, std = 2 * w / (w**2 + 0.25), (0.25 / (w**2 + 0.25)) ** 0.5  # the posterior
better = 2 * mean / (mean**2 + std**2)  # the best w for that q
bounds = {
    "start": bound(w, 0.6, 0.6),
    "raised by q": bound(w, mean, std),
    "then by P": bound(better, mean, std),
}

digits = mnist()
pca = PCA(40, random_state=0).fit(digits.pixels().double().numpy())
mixture = GaussianMixture(100, max_iter=30, tol=0.01, random_state=0)
mixture.fit(torch.from_numpy(pca.transform(digits.pixels().double().numpy())))
drawn = torch.from_numpy(pca.inverse_transform(mixture.sample(49)[0]))

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), width_ratios=(1, 1.25, 1))
data = pinwheel.sample(800, torch.Generator().manual_seed(0))
many = GaussianMixture(15, n_init=3, random_state=0).fit(data)
plots.mixture_2d(data, many.means_, many.covariances_, many.predict_proba(data), ax=axes[0])
axes[0].set_title("a density from many Gaussians")
plots.bound_bars(bounds, ax=axes[1]).set_title("log P(x) = $L_b$ + gap")
axes[1].legend(loc="upper left", ncols=2)
axes[1].set_ylim(top=-1.6)
plots.digits(drawn.clamp(0, 1), columns=7, ax=axes[2], title="digits drawn from a mixture")
figure.savefig(Path(__file__).with_name("course.png"), dpi=110)
