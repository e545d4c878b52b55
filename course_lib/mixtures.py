"""A mixture of Gaussians as an estimator: scikit-learn's interface around the two steps of EM."""

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import check_random_state
from torch import Tensor
from tqdm import tqdm

from course_lib.em import Parameters, as_tensor, check_type, e_step, empty, m_step, narrowness
from course_lib.fast_em import MAX_ROUNDING, FastSteps
from course_lib.gaussians import cholesky

__all__ = ["GaussianMixture", "Parameters", "e_step", "m_step"]

ROWS = 4096  # points handled at once outside `fit`: 4,096 × 512 responsibilities are 17 MB
COLLAPSED = 1e12  # a direction this much narrower (in variance) than the data has collapsed onto a point


@dataclass(eq=False, repr=False)
class GaussianMixture(DensityMixin, BaseEstimator):
    """A mixture of Gaussians fitted by EM, with the interface of scikit-learn's class of the same name.

    Constructor arguments, methods and fitted attributes mean what they mean there, but for verbose_interval,
    which is not looked at. Beyond it:

    - arrays and tensors are accepted; arrays in, arrays out; tensors in, tensors out. Fitted attributes are
      tensors on `device`, which is the data's own unless given. `dtype` is float64 unless given.
    - `init_params="k-means++"` assigns every point to the nearest of the chosen seeds (in scikit-learn a seed
      stands alone, with no spread of its own).
    - `verbose` ≥ 1 shows a progress bar.
    - a component that collapses onto a point (possible with reg_covar=0) or loses all its points does not end
      the fit: its covariance (and an empty one's mean) is held at its last good value, and a
      ConvergenceWarning names it. Held values keep EM's promise: the log-likelihood never falls.

    Raises ValueError with one sentence for data or starts that cannot be used.
    """

    n_components: int = 1
    _: KW_ONLY
    covariance_type: str = "full"
    tol: float = 1e-3
    reg_covar: float = 1e-6
    max_iter: int = 100
    n_init: int = 1
    init_params: str = "kmeans"
    weights_init: Any = None
    means_init: Any = None
    precisions_init: Any = None
    random_state: Any = None
    warm_start: bool = False
    verbose: int = 0
    verbose_interval: int = 10
    dtype: torch.dtype = torch.float64
    device: Any = None
    lower_bound_: float = field(init=False)

    # ---- fitting ----

    def fit(self, X: Any, y: Any = None) -> "GaussianMixture":
        """Fit to X (N, D) by EM: `n_init` starts, the one with the highest log-likelihood is kept."""
        x = self._tensor(X, fitting=True)
        self._check_settings(x)
        self.n_features_in_ = x.shape[1]
        going_on = self.warm_start and hasattr(self, "means_")
        if going_on and self.means_.shape != (self.n_components, x.shape[1]):
            raise ValueError("warm_start goes on from the last fit: keep n_components and X's columns.")
        rng = check_random_state(self.random_state)
        centre = x.mean(0)  # the fast steps lose fewer digits around 0
        x = x - centre
        self._variances = x.var(0, correction=0)  # (D,)
        best, held = None, set[str]()
        for _ in range(1 if going_on else self.n_init):
            self._held: set[str] = set()
            start = self._start(x, rng, centre, going_on)
            run = self._run(x, start, float(self.lower_bound_) if going_on else -math.inf)
            if best is None or run[1] > best[1]:
                best, held = run, self._held
        assert best is not None
        parameters, self.lower_bound_, self.lower_bounds_, self.converged_ = best
        self.n_iter_ = len(self.lower_bounds_)
        self._set(parameters._replace(means=parameters.means + centre))
        for sentence in sorted(held):
            warnings.warn(sentence, ConvergenceWarning, stacklevel=2)
        if not self.converged_ and self.max_iter > 0 and self.tol > 0:
            sentence = (
                f"EM stopped after max_iter={self.max_iter} steps before the gain fell below tol={self.tol}."
            )
            warnings.warn(sentence + " Raise max_iter, or tol.", ConvergenceWarning, stacklevel=2)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:
        """`fit(X)`, then the most responsible component of each point, (N,)."""
        return self.fit(X).predict(X)

    def _run(self, x: Tensor, now: Parameters, bound: float) -> tuple[Parameters, float, list[float], bool]:
        """EM from `now` until the mean log-likelihood gains less than `tol`; x and means are centred."""
        steps = FastSteps(x, self.covariance_type, self.reg_covar)
        history: list[float] = []
        name = f"EM, {self.n_components} components"
        # on stdout, and gone when done: a saved notebook keeps neither a broken widget nor a wall of bars
        with tqdm(range(self.max_iter), name, disable=not self.verbose, file=sys.stdout, leave=False) as bar:
            for _ in bar:
                new, mean_log_px = steps.iterate(now)
                now = self._hold(new, now)
                history.append(float(mean_log_px))
                bar.set_postfix_str(f"log-likelihood {history[-1]:.4f} nats")
                gain, bound = abs(history[-1] - bound), history[-1]
                if gain < self.tol:
                    return now, bound, history, True
        return now, bound, history, False

    def _hold(self, new: Parameters, old: Parameters) -> Parameters:
        """`new`, but with the last good covariance where a component collapsed, and the last place of an
        empty one. The mean still moves: for a held covariance it is still the best one, so nothing is lost.
        """
        lost = self._collapsed(new.covariances)
        lonely = empty(new.weights)
        if lost.ndim == 0 and lost:
            self._held.add("The shared covariance has lost a direction and is held: set reg_covar > 0.")
        for k in range(self.n_components):
            if lonely[k]:
                self._held.add(
                    f"Component {k} has lost all its points and stays empty: "
                    "use fewer components, or another start (n_init, random_state)."
                )
            elif lost.ndim and lost[k]:
                self._held.add(
                    f"Component {k} has collapsed onto too few points; its covariance is held at its last "
                    "good value: use fewer components, reg_covar > 0, or another start."
                )
        means = torch.where(lonely[:, None], old.means, new.means)
        hold = lost | lonely if lost.ndim else lost
        hold = hold.reshape(hold.shape + (1,) * (new.covariances.ndim - hold.ndim))
        return Parameters(new.weights, means, torch.where(hold, old.covariances, new.covariances))

    def _collapsed(self, covariances: Tensor) -> Tensor:
        limit = math.inf if self.reg_covar else COLLAPSED  # reg_covar sets a floor of its own
        return ~(narrowness(self._variances, covariances, self.covariance_type) < limit)

    def _start(self, x: Tensor, rng: np.random.RandomState, centre: Tensor, going_on: bool) -> Parameters:
        """The first weights, means and covariances: what the caller gave, the rest from `init_params`."""
        given = self._parameters()._asdict() if going_on else self._given(x)
        if "means" in given:
            given["means"] = given["means"] - centre
        return Parameters(**(given if len(given) == 3 else self._guess(x, rng)._asdict() | given))

    def _guess(self, x: Tensor, rng: np.random.RandomState) -> Parameters:
        k, data = self.n_components, x.cpu().numpy()
        if self.init_params == "random":
            resp = torch.as_tensor(rng.uniform(size=(len(x), k))).to(x)
            resp = resp / resp.sum(1, keepdim=True)
        else:
            if self.init_params == "kmeans":
                centres = KMeans(k, n_init=1, random_state=rng).fit(data).cluster_centers_
            elif self.init_params == "k-means++":
                centres = kmeans_plusplus(data, k, random_state=rng)[0]
            else:
                centres = data[rng.choice(len(data), k, replace=False)]
            nearest = torch.cdist(x, torch.as_tensor(centres).to(x)).argmin(1)
            resp = torch.nn.functional.one_hot(nearest, k).to(x)  # (N, K)
        start = m_step(x, resp, self.covariance_type, self.reg_covar)
        pooled = m_step(x, torch.ones_like(resp[:, :1]), self.covariance_type, self.reg_covar).covariances
        if bool(self._collapsed(pooled).any()) and self.precisions_init is None:
            raise ValueError(
                "The data have a direction without any spread (a constant column, or one that is a "
                "combination of others): drop it, or set reg_covar > 0."
            )
        # a cluster of too few points starts with the spread of all
        lost = self._collapsed(start.covariances)
        lost = lost.reshape(lost.shape + (1,) * (start.covariances.ndim - 1))
        return start._replace(covariances=torch.where(lost, pooled, start.covariances))

    def _given(self, x: Tensor) -> dict[str, Tensor]:
        """What the caller gave of the start, checked; precisions as covariances."""
        k, d = self.n_components, x.shape[1]
        kind = self.covariance_type
        spread = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[kind]
        given: dict[str, Tensor] = {}
        for name, shape in {"weights": (k,), "means": (k, d), "precisions": spread}.items():
            if getattr(self, f"{name}_init") is None:
                continue
            value = torch.as_tensor(getattr(self, f"{name}_init")).to(x)
            if tuple(value.shape) != shape:
                raise ValueError(f"{name}_init must have shape {shape}, not {tuple(value.shape)}.")
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name}_init has a NaN or an infinity.")
            given[name] = value
        weights = given.get("weights", x.new_ones(1))
        if bool((weights < 0).any()) or abs(float(weights.sum()) - 1) > 1e-5:
            raise ValueError("weights_init must be non-negative and add up to 1.")
        if "precisions" in given:
            precisions = given.pop("precisions")
            if kind in ("diag", "spherical"):
                if not bool((precisions > 0).all()):
                    raise ValueError("precisions_init must be positive.")
                given["covariances"] = 1 / precisions
            else:
                try:
                    given["covariances"] = torch.cholesky_inverse(cholesky(precisions))
                except ValueError as error:
                    raise ValueError("precisions_init must be symmetric and positive definite.") from error
        return given

    # ---- using a fitted mixture ----

    def score_samples(self, X: Any) -> Any:
        """log P(x) of each row of X (N, D): (N,), in nats."""
        return self._of_each(X, lambda resp, log_px: log_px)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log P(x) over the rows of X (N, D), in nats."""
        return float(self.score_samples(X).mean())

    def predict_proba(self, X: Any) -> Any:
        """Responsibilities P(k | x): (N, K), rows adding up to 1."""
        return self._of_each(X, lambda resp, log_px: resp)

    def predict(self, X: Any) -> Any:
        """The most responsible component of each row of X: (N,) integers."""
        return self._of_each(X, lambda resp, log_px: resp.argmax(1))

    def sample(self, n_samples: int = 1) -> tuple[Tensor, Tensor]:
        """Ancestral sampling: pick k by weight, then draw from that Gaussian. Tensors x (n, D) and k (n,)."""
        weights, means, covariances = self._parameters()
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, not {n_samples}.")
        rng = check_random_state(self.random_state)
        generator = torch.Generator().manual_seed(int(rng.randint(2**31)))
        k = torch.multinomial(weights.cpu(), n_samples, True, generator=generator).to(weights.device)  # (n,)
        noise = torch.randn(n_samples, means.shape[1], generator=generator, dtype=self.dtype)  # (n, D)
        noise = noise.to(means)
        if self.covariance_type == "full":
            for j, factor in enumerate(cholesky(covariances)):
                noise[k == j] = noise[k == j] @ factor.T
        elif self.covariance_type == "tied":
            noise = noise @ cholesky(covariances).T
        else:
            noise = noise * covariances[k].sqrt().reshape(n_samples, -1)
        return means[k] + noise, k

    def bic(self, X: Any) -> float:
        """Bayesian information criterion on X: −2 log-likelihood + parameters · log N. Lower is better."""
        return -2 * self.score(X) * len(X) + self._n_parameters() * math.log(len(X))

    def aic(self, X: Any) -> float:
        """Akaike's information criterion on X: −2 log-likelihood + 2 · parameters. Lower is better."""
        return -2 * self.score(X) * len(X) + 2 * self._n_parameters()

    # ---- small things ----

    def _n_parameters(self) -> int:
        k, d = self.means_.shape
        per = {"full": k * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": k * d, "spherical": k}
        return per[self.covariance_type] + k * d + k - 1

    def _of_each(self, X: Any, result: Callable[[Tensor, Tensor], Tensor]) -> Any:
        """`result` of the responsibilities and log P(x), block by block: K = 512 needs no N × K numbers."""
        x, p = self._tensor(X), self._parameters()
        blocks = [result(*e_step(block, *p, self.covariance_type)) for block in x.split(ROWS)]
        return torch.cat(blocks) if isinstance(X, Tensor) else torch.cat(blocks).cpu().numpy()

    def _parameters(self) -> Parameters:
        if not hasattr(self, "means_"):
            raise NotFittedError("This GaussianMixture is not fitted yet: call fit(X) first.")
        return Parameters(self.weights_, self.means_, self.covariances_)

    def _set(self, p: Parameters) -> None:
        self.weights_, self.means_, self.covariances_ = p
        if self.covariance_type in ("diag", "spherical"):
            self.precisions_cholesky_ = p.covariances.rsqrt()
            self.precisions_ = 1 / p.covariances
        else:  # upper triangular U with U Uᵀ = covariance⁻¹
            factors = cholesky(p.covariances)
            eye = torch.eye(factors.shape[-1]).to(factors).expand_as(factors)
            self.precisions_cholesky_ = torch.linalg.solve_triangular(factors, eye, upper=False).mT
            self.precisions_ = self.precisions_cholesky_ @ self.precisions_cholesky_.mT

    def _tensor(self, X: Any, fitting: bool = False) -> Tensor:
        """X, checked, as a tensor (N, D): beside the fitted parameters, or where `fit` will leave them."""
        x = as_tensor(X)
        device = (self.device or x.device) if fitting else self._parameters().means.device
        x = x.to(device=device, dtype=self.dtype)
        if x.ndim != 2:
            hint = " For points of one number each, pass x[:, None]; for one point, x[None]."
            raise ValueError(f"X must have shape (N, D), not {tuple(x.shape)}.{hint * (x.ndim == 1)}")
        if not fitting and x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {x.shape[1]} columns, but the mixture was fitted on {self.n_features_in_}."
            )
        if not bool(torch.isfinite(x).all()):
            row = int((~torch.isfinite(x).all(1)).nonzero()[0])
            raise ValueError(f"X has a NaN or an infinity, first in row {row}: remove or mend it.")
        return x

    def _check_settings(self, x: Tensor) -> None:
        check_type(self.covariance_type)
        choices = {
            "init_params": ("kmeans", "k-means++", "random", "random_from_data"),
            "dtype": tuple(MAX_ROUNDING),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                names = ", ".join(map(str, allowed))
                raise ValueError(f"{name} must be one of {names}, not {getattr(self, name)!r}.")
        if not isinstance(self.n_components, int | Integral) or self.n_components < 1:
            raise ValueError(f"n_components must be a whole number, at least 1, not {self.n_components!r}.")
        if self.n_components > len(x):
            raise ValueError(f"n_components={self.n_components} needs that many points; X has {len(x)}.")
        for name, least in (("reg_covar", 0), ("tol", 0), ("max_iter", 0), ("n_init", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}.")
