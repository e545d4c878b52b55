"""scikit-learn's Gaussian mixture estimator, fitted by the course's implementation of EM."""

import math
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import sklearn.mixture
import torch
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Options
from torch import Tensor
from tqdm import tqdm

from course_lib.mixtures.density import precision_factors
from course_lib.mixtures.fast_steps import MAX_ROUNDING, FastSteps
from course_lib.mixtures.fitted import FittedMixture, as_came
from course_lib.mixtures.starts import collapsed, last_fit, start
from course_lib.probability.em import Parameters, empty

__all__ = ["GaussianMixture"]


@dataclass
class Run:
    """A run of EM: its parameters and its progress so far.

    The means are relative to the mean of the data.
    """

    parameters: Parameters
    lower_bound: float = -math.inf  # mean log P(x) before the last M-step, in nats
    lower_bounds: list[float] = field(default_factory=list)
    converged: bool = False
    # warnings about components that keep earlier values
    held: set[str] = field(default_factory=set)


class GaussianMixture(FittedMixture):
    """A mixture of Gaussians fitted by EM, with the interface of scikit-learn's GaussianMixture.

    Constructor arguments, methods and fitted attributes have the same meaning as in scikit-learn,
    with these differences:

    - Tensors are accepted as well as arrays. If X is a tensor, methods return tensors on X's
      device, not arrays. The fitted attributes and the results of `sample` have the same type as
      the X passed to `fit`.
    - `dtype` (default: torch.float64) and `device` (default: the device of X) specify the dtype and
      the device of the computations.
    - With `init_params="k-means++"` or "random_from_data", every point is assigned to the nearest
      seed. In scikit-learn, each seed forms a cluster of one point, which therefore has no spread.
    - `verbose` ≥ 1 shows a progress bar, and `verbose_interval` is ignored.
    - A component that collapses onto a point (possible if reg_covar=0) or loses all its points does
      not end the fit. The component keeps its last valid covariance and, if it is empty, also its
      mean; a ConvergenceWarning reports this. Even then, the log-likelihood never decreases.
    - If `fit` is interrupted, the best fit so far is kept, and `converged_` is False.

    Raises ValueError for invalid data or settings, usually with scikit-learn's message.
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "GaussianMixture":
        """Run EM on X (N, D) from `n_init` starts, and keep the fit with the highest likelihood."""
        x = self._tensor(self._checked(X, fitting=True), X)  # (N, D)
        rng = check_random_state(self.random_state)
        centre = x.mean(0)  # (D,)
        x = x - centre  # the fast steps lose fewer digits near 0
        going_on = self.warm_start and hasattr(self, "converged_")
        runs: list[Run] = []
        interrupted = False
        try:
            for _ in range(1 if going_on else self.n_init):
                if going_on:
                    runs.append(Run(last_fit(self, x, centre), float(self.lower_bound_)))
                else:
                    runs.append(Run(start(self, x, rng, centre)))
                self._climb(runs[-1], x)
        except KeyboardInterrupt:
            if not runs:
                raise  # there are no parameters to keep
            interrupted = True
        best = max(runs, key=lambda run: run.lower_bound)
        self._keep(best, centre, X)
        self.converged_ = best.converged and not interrupted
        if interrupted:
            print(f"Interrupted after EM step {self.n_iter_}. The fit so far is kept.")
        else:
            self._warn(best)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:
        """Fit the mixture to X, and return the predicted component of each row: (N, D) → (N,)."""
        return self.fit(X).predict(X)

    def _climb(self, run: Run, x: Tensor) -> None:
        """Run EM, updating `run`, until a step changes the mean log-likelihood by less than `tol`.

        At most `max_iter` steps are performed. x must be centred.
        """
        steps = FastSteps(x, self.covariance_type, self.reg_covar)
        variances = x.var(0, correction=0)  # (D,)
        name = f"EM, K = {self.n_components}"
        # the bar is on stdout and disappears at the end, so a saved notebook has no trace of it
        with tqdm(
            range(self.max_iter), name, disable=not self.verbose, file=sys.stdout, leave=False
        ) as bar:
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
        """Return `new`, except that collapsed and empty components keep their last valid
        covariance.

        Empty components also keep their mean. The mean of a collapsed component is still updated,
        because the new mean is also optimal for the old covariance.
        """
        old = run.parameters
        lost = collapsed(self, new.covariances, variances)  # (K,), or () for tied
        lonely = empty(new.weights)  # (K,)
        if lost.ndim == 0 and lost:
            run.held.add(
                "The shared covariance has become singular and is held at its last good value: "
                "set reg_covar > 0."
            )
        for k in range(self.n_components):
            if lonely[k]:
                run.held.add(
                    f"Component {k} has lost all its points and stays empty: "
                    "use fewer components, or try another start (n_init, random_state)."
                )
            elif lost.ndim and lost[k]:
                run.held.add(
                    f"Component {k} has collapsed onto too few points, and its covariance is held "
                    "at its last good value: use fewer components, set reg_covar > 0, or try "
                    "another start."
                )
        means = torch.where(lonely[:, None], old.means, new.means)
        hold = lost | lonely if lost.ndim else lost
        hold = hold.reshape(hold.shape + (1,) * (new.covariances.ndim - hold.ndim))
        covariances = torch.where(hold, old.covariances, new.covariances)
        return Parameters(new.weights, means, covariances)

    def _keep(self, run: Run, centre: Tensor, X: Any) -> None:
        """Set the fitted attributes, as tensors if X is a tensor and as arrays otherwise."""
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
                # scikit-learn's message, which warning filters may match, followed by details
                "Best performing initialization did not converge. Try different init parameters, "
                "or increase max_iter, tol, or check for degenerate data. EM stopped after "
                f"max_iter={self.max_iter} steps, before the gain fell below tol={self.tol}.",
                ConvergenceWarning,
                stacklevel=4,
            )
