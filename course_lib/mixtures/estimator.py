"""A mixture of Gaussians as an estimator: scikit-learn's class with the course's two steps of EM inside."""

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import sklearn.mixture
import torch
from sklearn.base import _fit_context
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture._gaussian_mixture import _check_means, _check_precisions, _check_weights
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Options
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from tqdm import tqdm

from course_lib.mixtures.density import (
    library,
    log_joint_blocks,
    log_sum_exp,
    precision_factors,
    softmax,
)
from course_lib.mixtures.fast_steps import MAX_ROUNDING, FastSteps
from course_lib.probability.em import Parameters, as_array, as_floats, empty, m_step, narrowness
from course_lib.probability.gaussians import cholesky

__all__ = ["GaussianMixture"]

COLLAPSED = 1e12  # a direction this much narrower (in variance) than the data has collapsed onto a point


@dataclass
class Run:
    """One start of EM, and how far it has come. Means are relative to the data's mean."""

    parameters: Parameters
    lower_bound: float = -math.inf  # mean log P(x) before the last M-step, in nats
    lower_bounds: list[float] = field(default_factory=list)
    converged: bool = False
    held: set[str] = field(default_factory=set)  # sentences about components that EM could not move


class GaussianMixture(sklearn.mixture.GaussianMixture):
    """A mixture of Gaussians fitted by EM, with the interface of scikit-learn's class of the same name.

    Constructor arguments, methods and fitted attributes mean what they mean there. Beyond it:

    - tensors are taken as well. Arrays in, arrays out; tensors in, tensors out, where X was. What `sample`
      returns and what the fitted attributes are was decided by the X that `fit` saw.
    - `dtype` is what the steps compute in, torch.float64 unless given; `device` is where, X's own unless
      given.
    - `init_params="k-means++"` assigns every point to the nearest of the chosen seeds (in scikit-learn a
      seed stands alone, with no spread of its own); so does "random_from_data".
    - `verbose` ≥ 1 shows a progress bar; verbose_interval is not looked at.
    - a component that collapses onto a point (possible with reg_covar=0) or loses all its points does not
      end the fit: its covariance (and an empty one's mean) is held at its last good value, and a
      ConvergenceWarning names it. Held values keep EM's promise: the log-likelihood never falls.
    - interrupting `fit` keeps the steps made so far, with `converged_` False.

    Raises ValueError with one sentence, mostly scikit-learn's, for data or settings that cannot be used.
    """

    _parameter_constraints: ClassVar[dict] = {
        **sklearn.mixture.GaussianMixture._parameter_constraints,
        "dtype": [Options(torch.dtype, set(MAX_ROUNDING)), None],
        "device": [str, torch.device, None],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ):
        super().__init__(
            n_components,
            covariance_type=covariance_type,
            tol=tol,
            reg_covar=reg_covar,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            weights_init=weights_init,
            means_init=means_init,
            precisions_init=precisions_init,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            verbose_interval=verbose_interval,
        )
        self.dtype = dtype
        self.device = device

    # ---- fitting ----

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "GaussianMixture":
        """Fit to X (N, D) by EM: `n_init` starts, the one with the highest log-likelihood is kept."""
        x = self._tensor(self._checked(X, fitting=True), X)  # (N, D)
        rng = check_random_state(self.random_state)
        centre = x.mean(0)  # (D,)
        x = x - centre  # the fast steps lose fewer digits around 0
        going_on = self.warm_start and hasattr(self, "converged_")
        runs: list[Run] = []
        interrupted = False
        try:
            for _ in range(1 if going_on else self.n_init):
                if going_on:
                    runs.append(Run(self._last(x, centre), float(self.lower_bound_)))
                else:
                    runs.append(Run(self._start(x, rng, centre)))
                self._climb(runs[-1], x)
        except KeyboardInterrupt:
            if not runs:
                raise  # not even a start to keep
            interrupted = True
        best = max(runs, key=lambda run: run.lower_bound)
        self._keep(best, centre, X)
        self.converged_ = best.converged and not interrupted
        if interrupted:
            print(f"Interrupted after {self.n_iter_} steps of EM; the fit so far is kept.")
        else:
            self._warn(best)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:
        """`fit(X)`, then the most responsible component of each point, (N,)."""
        return self.fit(X).predict(X)

    def _climb(self, run: Run, x: Tensor) -> None:
        """EM from where `run` is until the mean log-likelihood gains less than `tol`; x is centred."""
        steps = FastSteps(x, self.covariance_type, self.reg_covar)
        variances = x.var(0, correction=0)  # (D,)
        name = f"EM, {self.n_components} components"
        # on stdout, and gone when done: a saved notebook keeps neither a broken widget nor a wall of bars
        with tqdm(range(self.max_iter), name, disable=not self.verbose, file=sys.stdout, leave=False) as bar:
            for _ in bar:
                new, mean_log_px = steps.iterate(run.parameters)
                gain = float(mean_log_px) - run.lower_bound
                run.parameters = self._hold(new, run, variances)
                run.lower_bound = float(mean_log_px)
                run.lower_bounds.append(run.lower_bound)
                bar.set_postfix_str(f"log-likelihood {run.lower_bound:.4f} nats")
                run.converged = abs(gain) < self.tol
                if run.converged:
                    break

    def _hold(self, new: Parameters, run: Run, variances: Tensor) -> Parameters:
        """`new`, but with the last good covariance where a component collapsed, and the last place of an
        empty one. The mean still moves: for a held covariance it is still the best one, so nothing is lost.
        """
        old = run.parameters
        lost = self._collapsed(new.covariances, variances)  # (K,), or () for tied
        lonely = empty(new.weights)  # (K,)
        if lost.ndim == 0 and lost:
            run.held.add("The shared covariance has lost a direction and is held: set reg_covar > 0.")
        for k in range(self.n_components):
            if lonely[k]:
                run.held.add(
                    f"Component {k} has lost all its points and stays empty: "
                    "use fewer components, or another start (n_init, random_state)."
                )
            elif lost.ndim and lost[k]:
                run.held.add(
                    f"Component {k} has collapsed onto too few points; its covariance is held at its "
                    "last good value: use fewer components, reg_covar > 0, or another start."
                )
        means = torch.where(lonely[:, None], old.means, new.means)
        hold = lost | lonely if lost.ndim else lost
        hold = hold.reshape(hold.shape + (1,) * (new.covariances.ndim - hold.ndim))
        covariances = torch.where(hold, old.covariances, new.covariances)
        return Parameters(new.weights, means, covariances)

    def _collapsed(self, covariances: Tensor, variances: Tensor) -> Tensor:
        """Which components, (K,), or () for tied, have become too narrow for data of these variances."""
        limit = math.inf if self.reg_covar else COLLAPSED  # reg_covar sets a floor of its own
        return ~(narrowness(variances, covariances, self.covariance_type) < limit)

    def _keep(self, run: Run, centre: Tensor, X: Any) -> None:
        """Set the fitted attributes, in the form that X came in."""
        weights, means, covariances = run.parameters
        factors = precision_factors(covariances, self.covariance_type)
        if self.covariance_type in ("diag", "spherical"):
            precisions = 1 / covariances
        else:
            precisions = factors @ factors.mT
        self.weights_ = as_came(weights, X)
        self.means_ = as_came(means + centre, X)
        self.covariances_ = as_came(covariances, X)
        self.precisions_ = as_came(precisions, X)
        self.precisions_cholesky_ = as_came(factors, X)
        self.lower_bound_ = run.lower_bound
        self.lower_bounds_ = run.lower_bounds
        self.n_iter_ = len(run.lower_bounds)

    def _warn(self, run: Run) -> None:
        for sentence in sorted(run.held):
            warnings.warn(sentence, ConvergenceWarning, stacklevel=4)
        if not run.converged and self.max_iter > 0 and self.tol > 0:
            warnings.warn(
                # scikit-learn's sentence, for whoever filters by it, and what happened
                "Best performing initialization did not converge. Try different init parameters, or "
                "increase max_iter, tol, or check for degenerate data. EM stopped after "
                f"max_iter={self.max_iter} steps, before the gain fell below tol={self.tol}.",
                ConvergenceWarning,
                stacklevel=4,
            )

    # ---- where EM starts ----

    def _last(self, x: Tensor, centre: Tensor) -> Parameters:
        """What the last fit ended with, to go on from."""
        weights, means = like(x, self.weights_), like(x, self.means_)
        covariances = like(x, self.covariances_)
        if means.shape != (self.n_components, x.shape[1]):
            raise ValueError("warm_start goes on from the last fit: keep n_components and X's columns.")
        return Parameters(weights, means - centre, covariances)

    def _start(self, x: Tensor, rng: np.random.RandomState, centre: Tensor) -> Parameters:
        """The first weights, means and covariances: what the caller gave, the rest from `init_params`."""
        given = self._given(x)
        if "means" in given:
            given["means"] = given["means"] - centre
        if len(given) == 3:
            return Parameters(**given)
        return self._guess(x, rng)._replace(**given)

    def _given(self, x: Tensor) -> dict[str, Tensor]:
        """What the caller gave of the start, after scikit-learn's checks; precisions as covariances."""
        k, dim = self.n_components, x.shape[1]
        kind = self.covariance_type
        given: dict[str, Tensor] = {}
        if self.weights_init is not None:
            weights = _check_weights(as_array(self.weights_init), k, xp=np)
            given["weights"] = like(x, weights)
        if self.means_init is not None:
            means = _check_means(as_array(self.means_init), k, dim, xp=np)
            given["means"] = like(x, means)
        if self.precisions_init is not None:
            array = _check_precisions(as_array(self.precisions_init), kind, k, dim, xp=np)
            precisions = like(x, array)
            if kind in ("diag", "spherical"):
                given["covariances"] = 1 / precisions
            else:
                given["covariances"] = torch.cholesky_inverse(cholesky(precisions))
        return given

    def _guess(self, x: Tensor, rng: np.random.RandomState) -> Parameters:
        k, kind = self.n_components, self.covariance_type
        if self.init_params == "random":
            resp = torch.from_numpy(rng.uniform(size=(len(x), k))).to(x)
            resp = resp / resp.sum(1, keepdim=True)
        else:
            nearest = torch.cdist(x, self._centres(x, rng)).argmin(1)
            resp = torch.nn.functional.one_hot(nearest, k).to(x)  # (N, K)
        start = m_step(x, resp, kind, self.reg_covar)
        pooled = m_step(x, torch.ones_like(resp[:, :1]), kind, self.reg_covar).covariances
        variances = x.var(0, correction=0)
        if bool(self._collapsed(pooled, variances).any()) and self.precisions_init is None:
            raise ValueError(
                "The data have a direction without any spread (a constant column, or one that is a "
                "combination of others): drop it, or set reg_covar > 0."
            )
        # a cluster of too few points starts with the spread of all
        lost = self._collapsed(start.covariances, variances)
        lost = lost.reshape(lost.shape + (1,) * (start.covariances.ndim - 1))
        return start._replace(covariances=torch.where(lost, pooled, start.covariances))

    def _centres(self, x: Tensor, rng: np.random.RandomState) -> Tensor:
        """The K points that clusters are made around, (K, D)."""
        data = x.cpu().numpy()
        if self.init_params == "kmeans":
            centres = KMeans(self.n_components, n_init=1, random_state=rng).fit(data).cluster_centers_
        elif self.init_params == "k-means++":
            centres, _ = kmeans_plusplus(data, self.n_components, random_state=rng)
        else:
            centres = data[rng.choice(len(data), self.n_components, replace=False)]
        return to_tensor(centres).to(x)

    # ---- using a fitted mixture ----

    def score_samples(self, X: Any) -> Any:
        """log P(x) of each row of X (N, D): (N,), in nats."""
        return self._of_each(X, log_sum_exp)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log P(x) over the rows of X (N, D), in nats."""
        return float(self.score_samples(X).mean())

    def predict_proba(self, X: Any) -> Any:
        """Responsibilities P(k | x): (N, K), rows adding up to 1."""
        return self._of_each(X, softmax)

    def predict(self, X: Any) -> Any:
        """The most responsible component of each row of X: (N,) integers."""
        return self._of_each(X, lambda joint: joint.argmax(1))

    def bic(self, X: Any) -> float:
        """Bayesian information criterion on X: −2 log-likelihood + parameters · log N. Lower is better."""
        return -2 * self.score(X) * len(X) + self._n_parameters() * math.log(len(X))

    def aic(self, X: Any) -> float:
        """Akaike's information criterion on X: −2 log-likelihood + 2 · parameters. Lower is better."""
        return -2 * self.score(X) * len(X) + 2 * self._n_parameters()

    def sample(self, n_samples: int = 1) -> tuple[Any, Any]:
        """Ancestral sampling: pick k by weight, then draw from that Gaussian. x is (n, D), k is (n,)."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples}. It must be at least 1.")
        weights, means = as_floats(self.weights_), as_floats(self.means_)
        covariances = as_floats(self.covariances_)
        rng = check_random_state(self.random_state)
        p = weights.double().cpu().numpy()  # (K,)
        k = torch.from_numpy(rng.choice(len(p), n_samples, p=p / p.sum())).to(means.device)  # (n,)
        noise = torch.from_numpy(rng.standard_normal((n_samples, means.shape[1]))).to(means)  # (n, D)
        if self.covariance_type == "full":
            for j, factor in enumerate(cholesky(covariances)):
                noise[k == j] = noise[k == j] @ factor.T
        elif self.covariance_type == "tied":
            noise = noise @ cholesky(covariances).T
        else:
            noise = noise * covariances[k].sqrt().reshape(n_samples, -1)
        return as_came(means[k] + noise, self.means_), as_came(k, self.means_)

    def _of_each(self, X: Any, result: Callable[[Any], Any]) -> Any:
        """`result` of log P(x, k), block by block: 512 components need no N × K numbers at once."""
        check_is_fitted(self)
        x: Any = self._checked(X)  # (N, D)
        if isinstance(X, Tensor) or self.device is not None:
            x = self._tensor(x, X)
        weights, means = like(x, self.weights_), like(x, self.means_)
        if hasattr(self, "precisions_cholesky_"):
            factors = like(x, self.precisions_cholesky_)
        else:  # somebody set the other parameters by hand
            covariances = as_floats(self.covariances_)
            factors = like(x, precision_factors(covariances, self.covariance_type))
        blocks = log_joint_blocks(x, weights, means, factors, self.covariance_type)
        return as_came(library(x).concat([result(joint) for joint in blocks]), X)

    def _checked(self, X: Any, fitting: bool = False) -> np.ndarray:
        """X (N, D) after scikit-learn's checks."""
        x = validate_data(
            self,
            as_array(X),
            reset=fitting,
            dtype=np.float32 if self.dtype == torch.float32 else np.float64,
            ensure_min_samples=2 if fitting else 1,
        )
        if fitting and len(x) < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got "
                f"n_components = {self.n_components}, n_samples = {len(x)}"
            )
        largest = max(x.max(), -x.min())
        if largest > math.sqrt(np.finfo(x.dtype).max / x.size):
            raise ValueError(
                f"X has values of up to {largest:.2g}, whose squares overflow {x.dtype}: rescale its columns."
            )
        return x

    def _tensor(self, x: np.ndarray, X: Any) -> Tensor:
        """x, which was X before it was checked, as a tensor where the steps run."""
        own_device = X.device if isinstance(X, Tensor) else "cpu"
        return to_tensor(x).to(self.device or own_device)


def to_tensor(array: Any) -> Tensor:
    """An array as a tensor. torch takes no reversed arrays, and warns about those that are read-only."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def like(x: Any, values: Any) -> Any:
    """A fitted attribute, of whatever make, as a tensor or an array like x."""
    if isinstance(x, Tensor):
        return as_floats(values).to(x)
    return np.asarray(as_array(values), dtype=x.dtype)


def as_came(result: Any, X: Any) -> Any:
    """The result as a tensor beside X if that is a tensor, else as an array."""
    if isinstance(X, Tensor):
        return result.to(X.device)
    return as_array(result)
