"""The two steps of EM as two matrix products.

A Gaussian's log-density is quadratic in x, and therefore *linear* in
phi(x) = [1, x, every product x_i x_j]:

    log weight_k + log N(x | mu_k, Sigma_k) = phi(x) · c_k

The sums that the M-step needs, Σ_n resp_nk · [1, x_n, x_n x_nᵀ], are linear in phi(x) as well. If
the features of all points form one matrix `phi`, the E-step is `phi @ c` and the M-step is
`resp.T @ phi`. Each step is a single large product for all K components, whereas the textbook
formulas loop over the components.

The large products cost accuracy, because Σ x xᵀ / N − mu muᵀ is a small difference between large
numbers if a component is narrow and far from the origin. Centring the data reduces the error,
`narrowness` estimates the remaining error, and the textbook formulas are used for components whose
error would be too large.
"""

import math

import torch
from torch import Tensor

from course_lib.probability.em import Parameters, e_step, empty, log_joint, m_step, narrowness
from course_lib.probability.gaussians import LOG_2PI

CACHE_BYTES = 400e6  # features up to this size are kept (60,000 rows of 20 dimensions take 111 MB)
# Rows per block, so that features and responsibilities stay in the processor's cache.
CPU_ROWS = 2048
# From SOME_COMPONENTS on, log-densities are computed and added up faster with one row per
# component; from MANY_COMPONENTS on, only with one thread. This was measured on a CPU with 20 to
# 100 components (up to 512 with two threads), but not on a GPU.
SOME_COMPONENTS, MANY_COMPONENTS = 16, 32
# With more (full covariances, over 89 dimensions), the plain steps need less memory.
MAX_FEATURES = 4096
# the largest rounding error of a log-density, in nats, for which the fast steps are used
MAX_ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-2}


def n_features(dim: int, covariance_type: str) -> int:
    """Return F, the length of phi(x), for x with `dim` dimensions."""
    return 1 + dim + {"spherical": 1, "diag": dim}.get(covariance_type, dim * (dim + 1) // 2)


def one_row_per_component(k: int, device: torch.device) -> bool:
    """Return whether log-densities are computed faster when stored with one row per component
    than with one column per component.
    """
    if device.type == "cpu" and k >= MANY_COMPONENTS:
        return torch.get_num_threads() == 1
    return k >= SOME_COMPONENTS


def features(x: Tensor, covariance_type: str) -> Tensor:
    """Return phi(x): x (N, D) → (N, F).

    The last features are all products x_i x_j with i ≤ j for full and tied covariances, the squares
    for diagonal ones, and the sum of the squares for spherical ones.
    """
    n, dim = x.shape
    phi = x.new_empty(n, n_features(dim, covariance_type))
    phi[:, 0] = 1
    phi[:, 1 : dim + 1] = x
    if covariance_type == "spherical":
        phi[:, dim + 1] = (x**2).sum(1)
    elif covariance_type == "diag":
        phi[:, dim + 1 :] = x**2
    else:
        start = dim + 1
        for i in range(dim):  # x_i times x_i, …, x_D; slices are several times faster than indices
            end = start + dim - i
            phi[:, start:end] = x[:, i : i + 1] * x[:, i:]
            start = end
    return phi


def coefficients(
    weights: Tensor, means: Tensor, covariances: Tensor, covariance_type: str
) -> Tensor:
    """Return c such that phi(x) @ c = log weight_k + log N(x | mean_k, covariance_k).

    c has shape (F, K).
    """
    dim = means.shape[1]
    if covariance_type in ("diag", "spherical"):
        precisions = (1 / covariances).reshape(len(means), -1)  # (K, D) or (K, 1)
        linear = precisions * means  # (K, D)
        second = -0.5 * precisions
        log_det = precisions.expand(-1, dim).log().sum(1)  # of the precision matrix
    else:
        factors = torch.linalg.cholesky(covariances)  # (K, D, D) or (D, D)
        precisions = torch.cholesky_inverse(factors).expand(len(means), dim, dim)
        log_det = -2 * factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        linear = (precisions @ means[:, :, None])[:, :, 0]  # (K, D)
        i, j = torch.triu_indices(dim, dim, device=means.device)
        # x_i x_j and x_j x_i share one feature, so each off-diagonal entry counts twice
        second = torch.where(i == j, -0.5, -1.0).to(means.dtype) * precisions[:, i, j]
    constant = weights.log() + 0.5 * (log_det - dim * LOG_2PI - (linear * means).sum(1))  # (K,)
    return torch.cat([constant[:, None], linear, second], dim=1).T


def parameters(statistics: Tensor, dim: int, covariance_type: str, reg_covar: float) -> Parameters:
    """Complete the M-step: compute the parameters from `statistics`.

    `statistics` is resp.T @ phi, of shape (K, F).
    """
    # ten times the machine epsilon avoids division by 0 for an empty component, as in scikit-learn
    counts = statistics[:, 0] + 10 * torch.finfo(statistics.dtype).eps  # (K,)
    means = statistics[:, 1 : dim + 1] / counts[:, None]  # (K, D)
    second = statistics[:, dim + 1 :] / counts[:, None]
    if covariance_type == "spherical":
        covariances = (second[:, 0] - (means**2).sum(1)) / dim + reg_covar  # (K,)
    elif covariance_type == "diag":
        covariances = second - means**2 + reg_covar  # (K, D)
    else:
        i, j = torch.triu_indices(dim, dim, device=means.device)
        covariances = means.new_empty(len(means), dim, dim)
        covariances[:, i, j] = second - means[:, i] * means[:, j]
        covariances[:, j, i] = covariances[:, i, j]
        if covariance_type == "tied":
            covariances = (counts[:, None, None] * covariances).sum(0) / counts.sum()  # (D, D)
        covariances.diagonal(dim1=-2, dim2=-1).add_(reg_covar)
    return Parameters(counts / counts.sum(), means, covariances)


class FastSteps:
    """Iterations of EM on fixed data, with precomputed features; `iterate` performs one iteration.

    x has shape (N, D) and must be centred. The features are stored if they fit in `CACHE_BYTES`;
    otherwise, each iteration computes them again, block by block. The additional memory stays below
    half a gigabyte, apart from N responsibilities for each narrow component.
    """

    def __init__(self, x: Tensor, covariance_type: str, reg_covar: float = 0.0):
        self.x, self.covariance_type, self.reg_covar = x, covariance_type, reg_covar
        self.largest_square = (x**2).amax(0)  # (D,)
        self.narrow: set[int] = set()  # components that need the plain steps
        self.cached = None
        length = n_features(x.shape[1], covariance_type)
        if length <= MAX_FEATURES and length * x.element_size() * len(x) < CACHE_BYTES:
            self.cached = x.new_empty(len(x), length)
            # all of them at once would need four times the memory
            for start in range(0, len(x), CPU_ROWS):
                block = slice(start, start + CPU_ROWS)
                self.cached[block] = features(x[block], covariance_type)

    def iterate(self, now: Parameters) -> tuple[Parameters, Tensor]:
        """Perform one E-step and one M-step.

        Returns the new parameters, and the mean of log P(x) under the old parameters.
        """
        self.narrow |= self._too_narrow(now)
        new, mean_log_px = self._step(now)
        late = self._too_narrow(new) - self.narrow
        # if components have just become narrow, repeat the step with the plain formulas for them
        if late:
            self.narrow |= late
            new, mean_log_px = self._step(now)
        return new, mean_log_px

    def _too_narrow(self, p: Parameters) -> set[int]:
        # a log-density is a sum of numbers of this size, so its error is about eps times this size
        largest = narrowness(self.largest_square, p.covariances, self.covariance_type)
        fine = largest * torch.finfo(self.x.dtype).eps <= MAX_ROUNDING[self.x.dtype]
        # with a tied covariance, either all components are narrow or none
        if self.covariance_type != "tied":
            fine = fine | empty(p.weights)
        return set((~fine).expand(len(p.weights)).nonzero().flatten().tolist())

    def _step(self, now: Parameters) -> tuple[Parameters, Tensor]:
        dim, kind = self.x.shape[1], self.covariance_type
        if n_features(dim, kind) > MAX_FEATURES or 2 * len(self.narrow) >= len(now.means):
            steps = [e_step(block, *now, kind) for block in self.x.split(CPU_ROWS)]
            all_resp, log_px = (torch.cat(parts) for parts in zip(*steps, strict=True))
            return m_step(self.x, all_resp, kind, self.reg_covar), log_px.mean()
        c = coefficients(*now, kind)  # (F, K)
        on_device = max(1, int(CACHE_BYTES / 4 / (sum(c.shape) * c.element_size())))
        rows = CPU_ROWS if c.device.type == "cpu" else on_device
        # below this, exp returns denormal numbers: negligible in sums, but they halve the speed
        lowest = 0.7 * math.log(torch.finfo(c.dtype).tiny)
        statistics, log_likelihood = torch.zeros_like(c.T), c.new_zeros(())
        narrow = sorted(self.narrow)
        resp_narrow = self.x.new_empty(len(self.x), len(narrow))
        alone = now
        if narrow:
            alone = Parameters(now.weights[narrow], now.means[narrow], now.covariances[narrow])
        by_component = one_row_per_component(len(now.means), c.device)
        for start in range(0, len(self.x), rows):
            block = slice(start, start + rows)
            phi = features(self.x[block], kind) if self.cached is None else self.cached[block]
            # the only product of the E-step
            joint = c.T @ phi.T if by_component else (phi @ c).T  # (K, n)
            if narrow:
                joint[narrow] = log_joint(self.x[block], *alone, kind).T
            peak = joint.amax(0)  # (n,)
            # in place, because otherwise N×K numbers would be written four times
            resp = joint.sub_(peak).clamp_(min=lowest).exp_()
            total = resp.sum(0)
            log_likelihood += (peak + total.log()).sum()
            statistics.addmm_(resp.div_(total), phi)  # (K, F): the only product of the M-step
            resp_narrow[block] = resp[narrow].T
        new = parameters(statistics, dim, kind, self.reg_covar)
        if narrow:
            new.covariances[narrow] = m_step(self.x, resp_narrow, kind, self.reg_covar).covariances
        return new, log_likelihood / len(self.x)
