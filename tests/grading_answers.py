"""Right answers to the homework's questions, written from the students' texts, not from the keys.

They are what good students may write: float32 throughout, in place, NumPy with loops, torch.func,
torch.distributions, SciPy. Each must get all points, so one that is refused is a fault in a key or
in a text.
"""

# by assignment, question and variant
MIXTURES = {
    "responsibilities/bernoulli": (
        """def responsibilities(x, weights, theta):
    scores = x @ torch.logit(theta).T
    scores += torch.log(1 - theta).sum(1)
    scores += weights.log()
    scores -= scores.max(1, keepdim=True).values
    scores.exp_()
    scores /= scores.sum(1, keepdim=True)
    return scores""",
        """import numpy as np

def responsibilities(x, weights, theta):
    x, weights, theta = x.numpy(), weights.numpy(), theta.numpy()
    r = np.zeros((len(x), len(weights)), dtype=np.float32)
    for n in range(len(x)):
        for k in range(len(weights)):
            total = np.log(weights[k])
            for i in range(x.shape[1]):
                total += np.log(theta[k, i]) if x[n, i] == 1 else np.log(1 - theta[k, i])
            r[n, k] = total
        r[n] = np.exp(r[n] - r[n].max())
        r[n] /= r[n].sum()
    return r""",
    ),
    "responsibilities/poisson": (
        """from torch.distributions import Categorical, Independent, MixtureSameFamily, Poisson

def responsibilities(x, weights, theta):
    components = Independent(Poisson(theta), 1)
    joint = components.log_prob(x[:, None]) + Categorical(weights).logits
    return Categorical(logits=joint).probs""",
        """import numpy as np

def responsibilities(x, weights, theta):
    x, weights, theta = (a.numpy() for a in (x, weights, theta))
    r = np.empty((len(x), len(weights)), np.float32)
    for k in range(len(weights)):
        # x! is the same for all components and cancels
        r[:, k] = np.log(weights[k]) + (x * np.log(theta[k])).sum(1) - theta[k].sum()
    for row in r:
        row -= row.max()
        row[:] = np.exp(row) / np.exp(row).sum()
    return r""",
    ),
    "responsibilities/exponential": (
        """def responsibilities(x, weights, theta):
    one = lambda row: weights.log() - (row / theta + theta.log()).sum(1)
    joint = torch.vmap(one)(x)
    return 1 / torch.exp(joint[:, None, :] - joint[:, :, None]).sum(2)""",
        """from scipy import special, stats

def responsibilities(x, weights, theta):
    joint = stats.expon.logpdf(x.numpy()[:, None], scale=theta.numpy()).sum(-1)
    return special.softmax(joint + special.xlogy(1, weights.numpy()), axis=-1)""",
    ),
    "m_step/bernoulli": (
        """def m_step(x, r, a, b):
    k, d = r.shape[1], x.shape[1]
    weights = torch.full((k,), a - 1)
    theta = torch.full((k, d), b - 1)
    below = torch.full((k, 1), 2 * (b - 1))
    for x_n, r_n in zip(x, r):
        weights += r_n
        theta += torch.outer(r_n, x_n)
        below += r_n[:, None]
    weights /= weights.sum()
    theta /= below
    return weights, theta""",
        """def m_step(x, r, a, b):
    # the mode of a Dirichlet and of Beta posteriors, in terms of their parameters
    alpha = a + r.sum(0)
    up, down = b + r.mT @ x, b + r.mT @ (1 - x)
    weights = (alpha - 1) / (alpha.sum() - len(alpha))
    return weights, (up - 1) / (up + down - 2)""",
    ),
    "m_step/poisson": (
        """def m_step(x, r, a, b):
    k = r.shape[1]
    weights = torch.full((k,), a - 1)
    counts = torch.full((k, x.shape[1]), b - 1)
    exposure = torch.full((k, 1), b)
    for x_n, r_n in zip(x, r):
        weights += r_n
        counts += torch.outer(r_n, x_n)
        exposure += r_n[:, None]
    return weights.div_(weights.sum()), counts.div_(exposure)""",
        """def m_step(x, r, a, b):
    # a weighted mean of the data's rate and the prior's mode
    own = r.sum(0)
    rate = (r / own).T @ x
    share = (own / (own + b))[:, None]
    weights = torch.softmax(torch.log(own + a - 1), dim=0)
    return weights, share * rate + (1 - share) * (b - 1) / b""",
    ),
    "m_step/exponential": (
        """def m_step(x, r, a, b):
    k = r.shape[1]
    weights = torch.full((k,), a - 1)
    times = torch.full((k, x.shape[1]), b)
    counts = torch.full((k, 1), b + 1)
    for x_n, r_n in zip(x, r):
        weights += r_n
        times += torch.outer(r_n, x_n)
        counts += r_n[:, None]
    return weights.div_(weights.sum()), times.div_(counts)""",
        """def m_step(x, r, a, b):
    own = r.sum(0)
    mode = torch.zeros(r.shape[1], x.shape[1])
    for j, n_j in enumerate(own):
        mode[j] = torch.mv(x.T, r[:, j]).add_(b).mul_(1 / (n_j + b + 1))
    return F.normalize(own + (a - 1), p=1, dim=0), mode""",
    ),
    "missing/gaussian": (
        """from torch.distributions import Normal

def log_likelihood(x, seen, weights, mean, std):
    x = torch.where(seen > 0, x, torch.zeros_like(x))
    per_entry = Normal(mean, std).log_prob(x[:, None, :])  # (N, K, d)
    per_entry = per_entry.masked_fill(seen[:, None, :] == 0, 0.0)
    return torch.logsumexp(per_entry.sum(-1) + torch.log(weights), -1)""",
        """import numpy as np
from scipy.stats import norm

def log_likelihood(x, seen, weights, mean, std):
    x, seen, weights, mean, std = (a.numpy() for a in (x, seen, weights, mean, std))
    result = []
    for n in range(len(x)):
        where = np.flatnonzero(seen[n])
        total = [
            np.log(weights[k]) + norm.logpdf(x[n, where], mean[k, where], std[k, where]).sum()
            for k in range(len(weights))
        ]
        result.append(np.logaddexp.reduce(total))
    return np.array(result)""",
    ),
    "missing/bernoulli": (
        """def log_likelihood(x, seen, weights, p):
    white = seen * (x > 0.5)
    black = seen - white
    joint = torch.log(weights).repeat(len(x), 1)
    joint.addmm_(white, p.log().T)
    joint.addmm_(black, torch.log1p(-p).T)
    top = joint.amax(1, keepdim=True)
    return (top + (joint - top).exp().sum(1, keepdim=True).log())[:, 0]""",
        """def log_likelihood(x, seen, weights, p):
    def one(pixels, mask):
        chosen = torch.where(pixels == 1, p, 1 - p)
        chosen = torch.where(mask == 1, chosen, torch.ones_like(p))
        return torch.logsumexp(chosen.log().sum(1) + weights.log(), 0)
    return torch.func.vmap(one)(x, seen)""",
    ),
    "missing/poisson": (
        """from torch.distributions import Poisson

def log_likelihood(x, seen, weights, rate):
    safe = x.masked_fill(seen == 0, 0)
    log_p = Poisson(rate).log_prob(safe.unsqueeze(1)) * seen.unsqueeze(1)
    return (log_p.sum(2) + weights.log()).logsumexp(1)""",
        """import math

def log_likelihood(x, seen, weights, rate):
    result = torch.zeros(len(x))
    for n in range(len(x)):
        mask = seen[n].bool()
        counts = x[n, mask]
        joint = weights.log()
        joint += rate[:, mask].log() @ counts
        joint -= rate[:, mask].sum(1)
        joint -= sum(math.lgamma(c + 1) for c in counts.tolist())
        result[n] = torch.logsumexp(joint, 0)
    return result""",
    ),
    "gradient/logits": (
        """def gradient(log_p, logits):
    def log_likelihood(s):
        return torch.logsumexp(log_p + torch.log_softmax(s, 0), 1).sum()
    return torch.func.grad(log_likelihood)(logits)""",
        """import numpy as np

def gradient(log_p, logits):
    log_p, s = log_p.numpy(), logits.numpy()
    prior = np.exp(s - s.max())
    prior /= prior.sum()
    result = np.zeros_like(s)
    for row in log_p:
        joint = prior * np.exp(row - row.max())
        result += joint / joint.sum() - prior
    return result""",
    ),
    "gradient/means": (
        """def gradient(x, weights, mean):
    def log_likelihood(mu):
        joint = weights.log() - (x[:, None] - mu) ** 2 / 2 - math.log(2 * math.pi) / 2
        return joint.logsumexp(1).sum()
    return torch.func.grad(log_likelihood)(mean)""",
        """import numpy as np

def gradient(x, weights, mean):
    x, weights, mean = x.numpy(), weights.numpy(), mean.numpy()
    result = np.zeros(len(mean), dtype=np.float32)
    for value in x:
        # the square of x is the same for all components
        joint = np.log(weights) + value * mean - mean**2 / 2
        r = np.exp(joint - joint.max())
        result += r / r.sum() * (value - mean)
    return result""",
    ),
    "gradient/log_rates": (
        """def gradient(x, weights, log_rate):
    a = log_rate.clone().requires_grad_()
    rates, counts = a.expand(len(x), -1), x[:, None].expand(-1, len(a))
    log_p = -F.poisson_nll_loss(rates, counts, reduction="none")
    torch.logsumexp(log_p + weights.log(), 1).sum().backward()
    return a.grad""",
        """import numpy as np
from scipy.stats import poisson

def gradient(x, weights, log_rate):
    x, weights, rate = x.numpy(), weights.numpy(), np.exp(log_rate.numpy())
    result = np.zeros(len(rate))
    for count in x:
        joint = np.log(weights) + poisson.logpmf(count, rate)
        r = np.exp(joint - np.logaddexp.reduce(joint))
        result += r * (count - rate)
    return result""",
    ),
}

VAE = {
    "kl/circle": (
        """def kl(mu, kappa):
    i0e, i1e = torch.special.i0e(kappa), torch.special.i1e(kappa)
    # log I0 is log i0e + kappa
    each = kappa * (i1e / i0e - 1) - torch.log(i0e)
    return each.sum(1)""",
        """import numpy as np
from scipy.special import ive

def kl(mu, kappa):
    result = np.zeros(len(mu))
    for n, row in enumerate(kappa.numpy()):
        for k in row:
            result[n] += k * ive(1, k) / ive(0, k) - np.log(ive(0, k)) - k
    return result""",
    ),
    "kl/weibull": (
        """def kl(scale, shape, a, b):
    euler = 0.5772156649
    mean = scale * torch.exp(torch.lgamma(1 + 1 / shape))
    mean_log = scale.log() - euler / shape
    total = shape.log() - shape * scale.log() + (shape - 1) * mean_log - 1
    total -= a * b.log() - torch.lgamma(a)
    total -= (a - 1) * mean_log
    total += b * mean
    return total.sum(dim=-1)""",
        """import numpy as np
from scipy.special import gamma, gammaln

def kl(scale, shape, a, b):
    scale, shape, a, b = (v.numpy().astype(float) for v in (scale, shape, a, b))
    result = np.zeros(len(scale))
    for n in range(len(scale)):
        for j in range(len(a)):
            l, k = scale[n, j], shape[n, j]
            entropy = np.euler_gamma * (1 - 1 / k) + np.log(l / k) + 1
            log_z = np.log(l) - np.euler_gamma / k
            cross = a[j] * np.log(b[j]) - gammaln(a[j])
            cross += (a[j] - 1) * log_z - b[j] * l * gamma(1 + 1 / k)
            result[n] -= entropy + cross
    return result""",
    ),
    "kl/laplace": (
        """def kl(mean_q, log_scale_q, mean_p, log_scale_p):
    delta = torch.abs(mean_q - mean_p)
    ratio = torch.exp(log_scale_q - log_scale_p)
    moved = delta * torch.exp(-log_scale_p)
    # |delta| / b_q may be infinite, then e to the minus of it is 0
    tail = ratio * torch.exp(-(delta * torch.exp(-log_scale_q)))
    return (log_scale_p - log_scale_q - 1 + moved + tail).sum(1)""",
        """import numpy as np

def kl(mean_q, log_scale_q, mean_p, log_scale_p):
    rows = []
    for m, s in zip(mean_q.numpy().astype(float), log_scale_q.numpy().astype(float)):
        gap = np.abs(m - mean_p.numpy())
        with np.errstate(over="ignore"):
            spread = np.exp(s - log_scale_p.numpy() - gap * np.exp(-s))
            moved = gap * np.exp(-log_scale_p.numpy().astype(float))
        rows.append((log_scale_p.numpy() - s - 1 + moved + spread).sum())
    return rows""",
    ),
    "reparameterize/weibull": (
        """def sample(u, scale, shape):
    e = -torch.log1p(-u)
    z = scale * e ** (1 / shape)
    return z, -z * torch.log(e) / shape**2""",
        """def sample(u, scale, shape):
    def draw(k):
        return scale * torch.exp(torch.log(-torch.log1p(-u)) / k)
    z, slope = torch.func.jvp(draw, (shape,), (torch.ones_like(shape),))
    return z, slope""",
    ),
    "reparameterize/kumaraswamy": (
        """def sample(u, a, b):
    inner = -torch.expm1(torch.log1p(-u) / b)  # 1 - (1 - u)^(1/b)
    z = inner.pow(1 / a)
    return z, -z * inner.log() / a.square()""",
        """def sample(u, a, b):
    a = a.clone().requires_grad_()
    inner = -torch.expm1(torch.log1p(-u) / b)
    z = torch.exp(torch.log(inner) / a)
    z.sum().backward()
    return z.detach(), a.grad""",
    ),
    "reparameterize/relaxed": (
        """def sample(u, logits, temperature):
    s = (logits + u.log() - (-u).log1p()) / temperature
    z = s.sigmoid()
    return z, s.sigmoid() * (-s).sigmoid() / temperature""",
        """def sample(u, logits, temperature):
    l = logits.clone().requires_grad_()
    z = torch.sigmoid((l + torch.logit(u)) / temperature)
    (slope,) = torch.autograd.grad(z.sum(), l)
    return z.detach(), slope""",
    ),
    "objective/free_bits": (
        """from torch.distributions import Normal, kl_divergence

def objective(log_p, mu, logvar, floor):
    loss = -log_p.mean()
    for j in range(mu.shape[1]):
        kl = (mu[:, j].square() + logvar[:, j].exp() - logvar[:, j] - 1).mean() / 2
        loss = loss + torch.clamp(kl, min=floor)
    return loss""",
        """def objective(log_p, mu, logvar, floor):
    kl = torch.expm1(logvar)
    kl -= logvar
    kl += mu * mu
    kl *= 0.5
    per_dimension = kl.sum(0) / len(mu)
    return F.relu(per_dimension - floor).sum() + floor * mu.shape[1] - log_p.sum() / len(log_p)""",
    ),
    "objective/capacity": (
        """def objective(log_p, mu, logvar, gamma, capacity):
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
    return torch.nn.L1Loss()(kl.mean(), torch.tensor(capacity)) * gamma - log_p.mean()""",
        """import numpy as np

def objective(log_p, mu, logvar, gamma, capacity):
    log_p, mu, logvar = log_p.numpy(), mu.numpy(), logvar.numpy()
    kl, reconstruction = 0.0, 0.0
    for n in range(len(mu)):
        reconstruction -= log_p[n]
        for j in range(mu.shape[1]):
            kl += 0.5 * (mu[n, j] ** 2 + np.exp(logvar[n, j]) - 1 - logvar[n, j])
    return reconstruction / len(mu) + gamma * abs(kl / len(mu) - capacity)""",
    ),
    "objective/importance": (
        """from torch.distributions import Independent, Normal, Poisson

def objective(x, log_rate, z, mu, logvar):
    q = Independent(Normal(mu, torch.exp(logvar / 2)), 1)
    prior = Independent(Normal(torch.zeros_like(mu), 1.0), 1)
    log_w = prior.log_prob(z) - q.log_prob(z) + Poisson(log_rate.exp()).log_prob(x).sum(-1)
    return log_w.logsumexp(0) - math.log(len(z))""",
        """import numpy as np
from scipy.special import gammaln

def objective(x, log_rate, z, mu, logvar):
    x, log_rate, z, mu, logvar = (a.numpy() for a in (x, log_rate, z, mu, logvar))
    log_w = np.zeros(z.shape[:2])
    for k in range(len(z)):
        for n in range(len(x)):
            log_p = x[n] * log_rate[k, n] - np.exp(log_rate[k, n]) - gammaln(x[n] + 1)
            log_w[k, n] += log_p.sum()
            log_w[k, n] -= (z[k, n] ** 2).sum() / 2
            log_w[k, n] += ((z[k, n] - mu[n]) ** 2 * np.exp(-logvar[n]) + logvar[n]).sum() / 2
    top = log_w.max(0)
    return top + np.log(np.exp(log_w - top).mean(0))""",
    ),
    "estimator/leave_one_out": (
        """def gradient(f, b, logits):
    k = len(f)
    centred = (f - f.mean(0)) * k / (k - 1)  # f minus the mean of the others
    score = b - torch.sigmoid(logits)
    return (centred[..., None] * score).mean(0)""",
        """def gradient(f, b, logits):
    result = torch.zeros_like(logits)
    for k in range(len(f)):
        others = torch.cat([f[:k], f[k + 1 :]])
        credit = f[k] - others.mean(0)
        log_q = lambda l: (b[k] * F.logsigmoid(l) + (1 - b[k]) * F.logsigmoid(-l)).sum()
        result += credit[:, None] * torch.func.grad(log_q)(logits)
    return result / len(f)""",
    ),
    "estimator/vimco": (
        """def gradient(log_w, b, logits):
    k, n = log_w.shape
    bound = log_w.logsumexp(0) - math.log(k)
    result = torch.zeros_like(logits)
    for i in range(k):
        replaced = log_w.clone()
        replaced[i] = torch.cat([log_w[:i], log_w[i + 1 :]]).mean(0)
        credit = bound - (replaced.logsumexp(0) - math.log(k))
        result += credit[:, None] * (b[i] - logits.sigmoid())
    return result""",
        """def gradient(log_w, b, logits):
    k = len(log_w)
    others = (log_w.sum(0) - log_w) / (k - 1)
    eye = torch.eye(k)[:, :, None]
    table = log_w[None] * (1 - eye) + others[None] * eye  # (draw left out, K, N)
    credit = torch.logsumexp(log_w, 0) - torch.logsumexp(table, 1)  # (K, N)
    return torch.einsum("kn,knd->nd", credit, b) - credit.sum(0)[:, None] * logits.sigmoid()""",
    ),
    "estimator/doubly": (
        """def gradient(log_w, slope, eps, logvar):
    w = F.softmax(log_w, dim=0)[..., None]
    along = w * w * slope
    return along.sum(0), (along * eps).sum(0) * torch.exp(0.5 * logvar) / 2""",
        """import numpy as np

def gradient(log_w, slope, eps, logvar):
    log_w, slope, eps, logvar = (a.numpy() for a in (log_w, slope, eps, logvar))
    for_mu, for_logvar = np.zeros_like(logvar), np.zeros_like(logvar)
    for n in range(len(logvar)):
        w = np.exp(log_w[:, n] - np.logaddexp.reduce(log_w[:, n]))
        for k in range(len(w)):
            for_mu[n] += w[k] ** 2 * slope[k, n]
            for_logvar[n] += w[k] ** 2 * slope[k, n] * eps[k, n] * np.sqrt(np.exp(logvar[n])) / 2
    return for_mu, for_logvar""",
    ),
    "optimum/mean_field": (
        """def optimum(x, w, variance):
    d = w.shape[1]
    precision = torch.eye(d) + w.T @ w / variance
    mean = torch.linalg.solve(precision, w.T @ x.T / variance).T
    return mean, 1 / precision.diagonal()""",
        """def optimum(x, w, variance):
    # the other form of the same inverse, with a matrix of the size of x
    cov = w @ w.T + variance * torch.eye(len(w))
    mean = x @ torch.linalg.inv(cov) @ w
    v = variance / (variance + w.pow(2).sum(0))
    return mean, v""",
    ),
    "optimum/decoder": (
        """def optimum(x, mu, logvar, w):
    residual = x - mu @ w.T
    offset = residual.mean(0)
    spread = logvar.exp().mean(0)
    return offset, residual.var(0, correction=0) + w.square() @ spread""",
        """import numpy as np

def optimum(x, mu, logvar, w):
    x, mu, logvar, w = (a.numpy() for a in (x, mu, logvar, w))
    offset = x.mean(0) - w @ mu.mean(0)
    variance = np.zeros_like(offset)
    for n in range(len(x)):
        variance += (x[n] - w @ mu[n] - offset) ** 2 + w**2 @ np.exp(logvar[n])
    return offset, variance / len(x)""",
    ),
    "optimum/tempered": (
        """def optimum(x, a, b, beta):
    shapes = torch.full((len(x),), a)
    rates = torch.full((len(x),), b + x.shape[1] / beta)
    for row in x.T:
        shapes += row / beta
    return shapes, rates""",
        """import numpy as np

def optimum(x, a, b, beta):
    x = x.numpy()
    return [a + row.sum() / beta for row in x], [b + len(row) / beta for row in x]""",
    ),
}

CONDITIONAL_VAE = {
    "condition/film": (
        """def conditioned(h, y, scale, shift):
    # a row of zeros at the end serves the label -1
    scale = torch.cat([scale, torch.zeros(1, scale.shape[1])])
    shift = torch.cat([shift, torch.zeros(1, shift.shape[1])])
    return F.softplus((1 + scale[y]) * h + shift[y])""",
        """import numpy as np

def conditioned(h, y, scale, shift):
    a = h.clone().numpy()
    for n, label in enumerate(y.tolist()):
        if label >= 0:
            a[n] *= 1 + scale[label].numpy()
            a[n] += shift[label].numpy()
    return np.logaddexp(0, a)""",
    ),
    "condition/guided": (
        """def conditioned(z, y, strength, table, inner, outer):
    f = lambda e: torch.tanh(torch.cat([z, e], 1) @ inner.T) @ outer.T
    without = f(table[:1].expand(len(z), -1))
    with_label = f(table[y + 1])
    return F.logsigmoid(torch.lerp(without, with_label, strength))""",
        """import numpy as np

def conditioned(z, y, strength, table, inner, outer):
    z, table, inner, outer = (a.numpy() for a in (z, table, inner, outer))
    rows = []
    for code, label in zip(z, y.tolist()):
        without = outer @ np.tanh(inner @ np.concatenate([code, table[0]]))
        labelled = outer @ np.tanh(inner @ np.concatenate([code, table[label + 1]]))
        logits = (1 - strength) * without + strength * labelled
        rows.append(-np.logaddexp(0, -logits))
    return np.stack(rows)""",
    ),
    "condition/soft": (
        """def conditioned(z, logits, weight, bias):
    p = logits.softmax(-1)
    per_label = torch.stack([F.linear(z, w, b) for w, b in zip(weight, bias)], 1)  # (N, C, H)
    return torch.bmm(p[:, None], per_label)[:, 0].tanh_()""",
        """def conditioned(z, logits, weight, bias):
    def one(code, row):
        p = torch.exp(row - torch.logsumexp(row, 0))
        w = torch.tensordot(p, weight, 1)
        return torch.tanh(w @ code + p @ bias)
    return torch.func.vmap(one)(z, logits)""",
    ),
    "conditional_bound/gaussian": (
        """from torch.distributions import Bernoulli, Normal, kl_divergence

def conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    log_px = Bernoulli(logits=logits).log_prob(x).sum(1)
    q = Normal(mu, (logvar / 2).exp())
    p = Normal(prior_mu[y], (prior_logvar[y] / 2).exp())
    return log_px - kl_divergence(q, p).sum(1)""",
        """import numpy as np

def conditional_bound(x, y, logits, mu, logvar, prior_mu, prior_logvar):
    x, logits, mu, logvar = (a.numpy() for a in (x, logits, mu, logvar))
    m, s = prior_mu.numpy(), prior_logvar.numpy()
    bound = np.zeros(len(x), np.float32)
    for n, c in enumerate(y.tolist()):
        sign = 2 * x[n] - 1
        bound[n] = -np.logaddexp(0, -sign * logits[n]).sum()
        v, v_p = np.exp(logvar[n]), np.exp(s[c])
        bound[n] -= 0.5 * ((v + (mu[n] - m[c]) ** 2) / v_p - 1 + np.log(v_p / v)).sum()
    return bound""",
    ),
    "conditional_bound/laplace": (
        """from torch.distributions import Laplace, kl_divergence

def conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    log_px = -F.poisson_nll_loss(log_rate, x, reduction="none") - torch.lgamma(x + 1)
    q = Laplace(mu, log_scale.exp())
    p = Laplace(prior_mu[y], prior_log_scale[y].exp())
    return log_px.sum(1) - kl_divergence(q, p).sum(1)""",
        """import numpy as np
from scipy.special import gammaln

def conditional_bound(x, y, log_rate, mu, log_scale, prior_mu, prior_log_scale):
    x, log_rate, mu, ls = (a.numpy() for a in (x, log_rate, mu, log_scale))
    pm, ps = prior_mu.numpy(), prior_log_scale.numpy()
    result = np.zeros(len(x))
    for n, c in enumerate(y.tolist()):
        for i in range(x.shape[1]):
            result[n] += x[n, i] * log_rate[n, i] - np.exp(log_rate[n, i]) - gammaln(x[n, i] + 1)
        b, s = np.exp(ls[n]), np.exp(ps[c])
        gap = np.abs(mu[n] - pm[c])
        result[n] -= (np.log(s / b) + (gap + b * np.exp(-gap / b)) / s - 1).sum()
    return result""",
    ),
    "conditional_bound/codes": (
        """from torch.distributions import Categorical, kl_divergence

def conditional_bound(log_px, y, q_logits, prior_logits):
    q = Categorical(logits=q_logits)
    p = Categorical(logits=prior_logits[y])
    return (q.probs * log_px).sum(1) + q.entropy() + (q.probs * p.logits).sum(1)""",
        """import numpy as np
from scipy.special import entr, log_softmax, softmax

def conditional_bound(log_px, y, q_logits, prior_logits):
    q = softmax(q_logits.numpy(), axis=1)
    log_prior = log_softmax(prior_logits.numpy(), axis=1)
    result = np.zeros(len(q))
    for n in range(len(q)):
        for k in range(q.shape[1]):
            result[n] += q[n, k] * (log_px[n, k].item() + log_prior[y[n], k]) + entr(q[n, k])
    return result""",
    ),
    "semi_supervised/average": (
        """from torch.distributions import Categorical

def semi_supervised(bound, logits, prior):
    q = Categorical(logits=logits)
    return torch.einsum("nc,nc->n", q.probs, bound + prior.log()) + q.entropy()""",
        """def semi_supervised(bound, logits, prior):
    # log Z minus a KL
    joint = bound + prior.log()
    posterior = joint.log_softmax(1)
    log_q = logits.log_softmax(1)
    kl = F.kl_div(posterior, log_q, reduction="none", log_target=True).sum(1)
    return joint.logsumexp(1) - kl""",
    ),
    "semi_supervised/mixed": (
        """def semi_supervised(bound, logits, prior, y, alpha):
    log_q = F.log_softmax(logits, 1)
    joint = bound + prior.log()
    result = (log_q.exp() * (joint - log_q)).sum(1)
    known = y >= 0
    label = y[known]
    row = torch.arange(len(label))
    result[known] = joint[known][row, label] + alpha * log_q[known][row, label]
    return result""",
        """import numpy as np
from scipy.special import entr, log_softmax

def semi_supervised(bound, logits, prior, y, alpha):
    log_q = log_softmax(logits.numpy(), axis=1)
    result = []
    for n, label in enumerate(y.tolist()):
        if label == -1:
            q = np.exp(log_q[n])
            result.append((q * (bound[n].numpy() + np.log(prior.numpy())) + entr(q)).sum())
        else:
            result.append(bound[n, label].item() + math.log(prior[label]) + alpha * log_q[n, label])
    return np.array(result)""",
    ),
    "semi_supervised/partial": (
        """def semi_supervised(bound, logits, prior, allowed):
    log_q = logits.masked_fill(allowed == 0, -torch.inf).log_softmax(1)
    terms = log_q.exp() * (bound + prior.log() - log_q)
    return torch.where(allowed == 1, terms, 0.0).sum(1)""",
        """import numpy as np

def semi_supervised(bound, logits, prior, allowed):
    result = np.zeros(len(bound), dtype=np.float32)
    for n in range(len(bound)):
        inside = allowed[n].bool()
        s = logits[n, inside].numpy()
        q = np.exp(s - s.max())
        q /= q.sum()
        for weight, l, p in zip(q, bound[n, inside].tolist(), prior[inside].tolist()):
            if weight > 0:
                result[n] += weight * (l + np.log(p) - np.log(weight))
    return result""",
    ),
    "predict/unequal": (
        """def predict(log_w, drawn, prior):
    keep = torch.arange(log_w.shape[2]) < drawn[:, None]  # (C, K)
    log_p = log_w.masked_fill(~keep, -torch.inf).logsumexp(2) - drawn.log()
    return F.softmax(log_p + prior.log(), dim=1)""",
        """import numpy as np

def predict(log_w, drawn, prior):
    log_w = log_w.numpy()
    result = np.zeros(log_w.shape[:2], dtype=np.float32)
    for n in range(len(log_w)):
        highest = max(log_w[n, c, :k].max() for c, k in enumerate(drawn.tolist()))
        for c, k in enumerate(drawn.tolist()):
            result[n, c] = prior[c] * np.exp(log_w[n, c, :k] - highest).mean()
        result[n] /= result[n].sum()
    return result""",
    ),
    "predict/reject": (
        """def predict(log_px, prior, cost, refusal):
    p = torch.softmax(log_px + prior.log(), 1)
    risk, decision = (p @ cost.T).min(1)
    refuse = refusal < risk
    decision[refuse] = -1
    risk[refuse] = refusal
    return decision, risk""",
        """import numpy as np

def predict(log_px, prior, cost, refusal):
    decisions, risks = [], []
    for row in log_px.numpy():
        p = prior.numpy() * np.exp(row - row.max())
        p /= p.sum()
        expected = [refusal] + [float((c * p).sum()) for c in cost.numpy()]
        best = int(np.argmin(expected))
        decisions.append(best - 1)
        risks.append(expected[best])
    return decisions, risks""",
    ),
    "predict/several": (
        """def predict(log_w, prior):
    log_p = torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])  # (N, M, C)
    return (log_p.sum(1) + prior.log()).softmax(-1)""",
        """import numpy as np

def predict(log_w, prior):
    result = []
    for sender in log_w.numpy():
        log_posterior = np.log(prior.numpy())
        for image in sender:  # Bayes' rule, image by image
            log_p = np.logaddexp.reduce(image, axis=1) - np.log(image.shape[1])
            log_posterior = log_posterior + log_p
            log_posterior -= np.logaddexp.reduce(log_posterior)
        result.append(np.exp(log_posterior))
    return np.stack(result)""",
    ),
    "identity/split": (
        """from torch.distributions import MultivariateNormal, kl_divergence

def identity(mean, cov, a, b, std):
    d = len(std)
    total = a @ cov @ a.T + torch.diag(std**2)  # (C, d, d)
    information = 0.5 * torch.logdet(total) - torch.log(std).sum()
    q = MultivariateNormal(mean @ a.T + b, total)
    gap = kl_divergence(q, MultivariateNormal(torch.zeros(d), torch.eye(d)))
    return information, gap""",
        """import numpy as np

def identity(mean, cov, a, b, std):
    mean, cov, a, b, std = (v.numpy() for v in (mean, cov, a, b, std))
    information, gap = [], []
    for m, s, shift in zip(mean, cov, b):
        total = a @ s @ a.T + np.diag(std**2)
        logdet = np.linalg.slogdet(total)[1]
        centre = a @ m + shift
        information.append((logdet - 2 * np.log(std).sum()) / 2)
        gap.append((np.trace(total) + centre @ centre - len(std) - logdet) / 2)
    return information, gap""",
    ),
    "identity/prior": (
        """def identity(mu, logvar, y, classes):
    mean, variance = torch.zeros(classes, mu.shape[1]), torch.zeros(classes, mu.shape[1])
    for c in range(classes):
        own = mu[y == c]
        mean[c] = own.mean(0)
        variance[c] = own.var(0, unbiased=False) + logvar[y == c].exp().mean(0)
    return mean, variance""",
        """def identity(mu, logvar, y, classes):
    count = torch.zeros(classes).index_add_(0, y, torch.ones(len(y)))[:, None]
    zeros = torch.zeros(classes, mu.shape[1])
    mean = zeros.index_add(0, y, mu) / count
    spread = (mu - mean[y]) ** 2 + logvar.exp()
    return mean, zeros.index_add(0, y, spread) / count""",
    ),
    "identity/slope": (
        """def identity(bound, logits, prior):
    def total(s):
        q, log_q = s.softmax(1), s.log_softmax(1)
        return (q * (bound + prior.log() - log_q)).sum()
    return torch.func.grad(total)(logits)""",
        """import numpy as np
from scipy.special import log_softmax

def identity(bound, logits, prior):
    rows = []
    for l, s in zip(bound.numpy(), logits.numpy()):
        log_q = log_softmax(s)
        q = np.exp(log_q)
        a = l + np.log(prior.numpy()) - log_q
        rows.append(q * (a - (q * a).sum()))
    return rows""",
    ),
}

GAN = {
    "losses/relativistic": (
        """def losses(real, fake):
    bce = nn.BCEWithLogitsLoss()
    a, b = real - fake.mean(), fake - real.mean()
    one, zero = torch.ones_like, torch.zeros_like
    return bce(a, one(a)) + bce(b, zero(b)), bce(a, zero(a)) + bce(b, one(b))""",
        """import numpy as np

def losses(real, fake):
    real, fake = real.numpy(), fake.numpy()
    d = g = 0.0
    for a in real - fake.mean():
        d += np.logaddexp(0, -a) / len(real)
        g += np.logaddexp(0, a) / len(real)
    for a in fake - real.mean():
        d += np.logaddexp(0, a) / len(fake)
        g += np.logaddexp(0, -a) / len(fake)
    return d, g""",
    ),
    "losses/classes": (
        """def losses(real, fake):
    def logs(l):
        table = torch.cat([l, torch.zeros(len(l), 1)], 1).log_softmax(1)
        return torch.logsumexp(table[:, :-1], 1), table[:, -1]
    log_d, _ = logs(real)
    log_d_fake, log_not = logs(fake)
    return -(log_d.mean() + log_not.mean()), -log_d_fake.mean()""",
        """import numpy as np
from scipy.special import log_expit, logsumexp

def losses(real, fake):
    a, b = logsumexp(real.numpy(), axis=1), logsumexp(fake.numpy(), axis=1)
    return -log_expit(a).mean() - log_expit(-b).mean(), -log_expit(b).mean()""",
    ),
    "losses/smoothed": (
        """def losses(real, fake, high, low):
    bce = F.binary_cross_entropy_with_logits
    d = bce(real, torch.full_like(real, high)) + bce(fake, torch.full_like(fake, low))
    return d, bce(fake, torch.ones_like(fake))""",
        """import numpy as np

def losses(real, fake, high, low):
    real, fake = real.numpy(), fake.numpy()
    cross = lambda a, y: np.mean(np.maximum(a, 0) - a * y + np.log1p(np.exp(-np.abs(a))))
    return cross(real, high) + cross(fake, low), cross(fake, 1.0)""",
    ),
    "optimum/pearson": (
        """def optimum(data_logits, logits):
    log_p, log_q = data_logits.log_softmax(0), logits.log_softmax(0)
    ratio = torch.exp(log_p - log_q)
    q = log_q.exp()
    critic = 2 * (ratio - 1)
    value = (q * (ratio - 1) ** 2).sum()
    down = -(critic + critic**2 / 4)  # the slope with respect to q
    return critic, value, q * (down - (q * down).sum())""",
        """import numpy as np
from scipy.special import log_softmax

def optimum(data_logits, logits):
    log_p, log_q = log_softmax(data_logits.numpy()), log_softmax(logits.numpy())
    ratio = np.exp(log_p - log_q)
    p, q = np.exp(log_p), np.exp(log_q)
    value = sum(p * ratio) - 1
    slope = [q[i] * (1 + value) - p[i] * ratio[i] for i in range(len(q))]
    return 2 * ratio - 2, value, slope""",
    ),
    "optimum/hellinger": (
        """def optimum(data_logits, logits):
    log_p, log_q = data_logits.log_softmax(0), logits.log_softmax(0)
    p, q = log_p.exp(), log_q.exp()
    critic = -torch.expm1((log_q - log_p) / 2)  # 1 - sqrt(q / p)
    value = (p.sqrt() - q.sqrt()).square().sum()
    root = torch.exp((log_p + log_q) / 2)
    return critic, value, q * root.sum() - root""",
        """def optimum(data_logits, logits):
    log_p = torch.log_softmax(data_logits, 0)
    with torch.no_grad():
        critic = 1 - torch.exp(0.5 * (torch.log_softmax(logits, 0) - log_p))
        cost = critic / (1 - critic)
    def value(s):
        return (log_p.exp() * critic).sum() - (torch.softmax(s, 0) * cost).sum()
    slope, v = torch.func.grad_and_value(value)(logits)
    return critic, v, slope""",
    ),
    "optimum/reverse_kl": (
        """def optimum(data_logits, logits):
    log_p, log_q = data_logits.log_softmax(0), logits.log_softmax(0)
    q = log_q.exp()
    critic = -torch.exp(log_q - log_p)
    value = F.kl_div(log_p, log_q, reduction="sum", log_target=True)
    return critic, value, q * (log_q - log_p - value)""",
        """import numpy as np

def optimum(data_logits, logits):
    a, s = data_logits.numpy(), logits.numpy()
    log_p, log_q = a - np.logaddexp.reduce(a), s - np.logaddexp.reduce(s)
    q = np.exp(log_q)
    value = 0.0
    for i in range(len(q)):
        value += q[i] * (log_q[i] - log_p[i])
    h = 1 + log_q - log_p
    return -np.exp(log_q - log_p), value, q * (h - (q * h).sum())""",
    ),
    "distance/energy": (
        """def distance(x, y):
    centre = x.mean(0)
    x, y = x - centre, y - centre
    n, m = len(x), len(y)
    across = (x[:, None] - y).norm(dim=-1).mean()
    within = torch.pdist(x).sum() / (n * (n - 1)) + torch.pdist(y).sum() / (m * (m - 1))
    return 2 * across - 2 * within""",
        """def distance(x, y):
    mean_within = lambda a: torch.cdist(a, a).sum() / (len(a) * (len(a) - 1))
    return 2 * torch.cdist(x, y).mean() - mean_within(x) - mean_within(y)""",
        """import numpy as np
from scipy.spatial.distance import cdist, pdist

def distance(x, y):
    x, y = x.numpy(), y.numpy()
    return 2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean()""",
    ),
    "distance/mmd": (
        """def distance(x, y, width):
    def k(a, b):
        squares = (a[:, None] - b[None]).pow(2).sum(-1)
        return torch.exp(-squares[..., None] / (2 * width**2)).sum(-1)
    within_x = k(x, x).fill_diagonal_(0).sum() / (len(x) * (len(x) - 1))
    within_y = k(y, y).fill_diagonal_(0).sum() / (len(y) * (len(y) - 1))
    return within_x + within_y - 2 * k(x, y).mean()""",
        """def distance(x, y, width):
    k = lambda a, b: sum(torch.exp(-torch.cdist(a, b) ** 2 / (2 * w**2)) for w in width)
    n, m = len(x), len(y)
    within_x = (k(x, x).sum() - n * len(width)) / (n * (n - 1))
    within_y = (k(y, y).sum() - m * len(width)) / (m * (m - 1))
    return within_x + within_y - 2 * k(x, y).mean()""",
        """import numpy as np
from scipy.spatial.distance import cdist, pdist

def distance(x, y, width):
    x, y = x.numpy(), y.numpy()
    total = 0
    for w in width.tolist():
        k = lambda squares: np.exp(-squares / (2 * w * w)).mean()
        total += k(pdist(x, "sqeuclidean")) + k(pdist(y, "sqeuclidean"))
        total -= 2 * k(cdist(x, y, "sqeuclidean"))
    return total""",
    ),
    "distance/kid": (
        """def distance(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    off = lambda table: (table.sum() - table.trace()) / (len(table) * (len(table) - 1))
    return off(k(x, x)) + off(k(y, y)) - 2 * k(x, y).mean()""",
        """from sklearn.metrics.pairwise import polynomial_kernel
import numpy as np

def distance(x, y):
    x, y = x.numpy().astype(np.float64), y.numpy().astype(np.float64)
    xx, yy, xy = (polynomial_kernel(a, b, degree=3) for a, b in ((x, x), (y, y), (x, y)))
    above = lambda table: table[np.triu_indices(len(table), 1)].mean()
    return above(xx) + above(yy) - 2 * xy.mean()""",
    ),
    "penalty/one_sided": (
        """def penalty(real, fake, mix, w, b, v):
    d = lambda point: v @ F.softplus(w @ point + b)
    between = torch.lerp(fake, real, mix[:, None])
    slopes = torch.func.vmap(torch.func.grad(d))(between)
    return slopes, F.relu(slopes.norm(dim=1) - 1).square().mean()""",
        """import numpy as np
from scipy.special import expit

def penalty(real, fake, mix, w, b, v):
    real, fake, mix, w, b, v = (a.numpy() for a in (real, fake, mix, w, b, v))
    slopes, total = [], 0.0
    for x, x_fake, share in zip(real, fake, mix):
        point = share * x + (1 - share) * x_fake
        slopes.append(w.T @ (v * expit(w @ point + b)))
        total += max(0.0, np.linalg.norm(slopes[-1]) - 1) ** 2
    return slopes, total / len(real)""",
    ),
    "penalty/around": (
        """def penalty(real, noise, w, b, v):
    points = (real + noise * real.std(unbiased=False) / 2).requires_grad_()
    logit = F.silu(F.linear(points, w, b)) @ v
    slopes = torch.autograd.grad(logit.sum(), points)[0]
    return slopes, ((slopes.norm(dim=1) - 1) ** 2).mean()""",
        """import numpy as np
from scipy.special import expit

def penalty(real, noise, w, b, v):
    real, noise, w, b, v = (a.numpy() for a in (real, noise, w, b, v))
    points = real + noise * real.std() / 2
    slopes = np.zeros_like(points)
    for n, point in enumerate(points):
        for j in range(len(v)):
            u = w[j] @ point + b[j]
            slopes[n] += v[j] * expit(u) * (1 + u * expit(-u)) * w[j]
    return slopes, np.mean((np.sqrt((slopes**2).sum(1)) - 1) ** 2)""",
    ),
    "penalty/weighted": (
        """def penalty(real, fake, w, b, v):
    d = lambda point: v @ torch.tanh(w @ point + b)
    both = torch.func.vmap(torch.func.grad_and_value(d))
    slope_real, a_real = both(real)
    slope_fake, a_fake = both(fake)
    on_real = torch.sigmoid(-a_real) ** 2 * slope_real.square().sum(1)
    on_fake = torch.sigmoid(a_fake) ** 2 * slope_fake.square().sum(1)
    return on_real.mean(), on_fake.mean()""",
        """import numpy as np
from scipy.special import expit

def penalty(real, fake, w, b, v):
    w, b, v = w.numpy(), b.numpy(), v.numpy()
    def cost(points, sign):
        total = 0.0
        for x in points.numpy():
            h = np.tanh(w @ x + b)
            slope = (v * (1 - h**2)) @ w
            total += expit(sign * (v @ h)) ** 2 * (slope @ slope)
        return total / len(points)
    return cost(real, -1), cost(fake, 1)""",
    ),
    "step/extragradient": (
        """def step(theta, psi, real, z, lr):
    def d_loss(psi, theta):
        return F.softplus(-real @ psi).mean() + F.softplus((theta + z) @ psi).mean()
    def g_loss(theta, psi):
        return F.softplus(-((theta + z) @ psi)).mean()
    d_slope, g_slope = torch.func.grad(d_loss), torch.func.grad(g_loss)
    ahead_theta, ahead_psi = theta - lr * g_slope(theta, psi), psi - lr * d_slope(psi, theta)
    new_theta = theta - lr * g_slope(ahead_theta, ahead_psi)
    new_psi = psi - lr * d_slope(ahead_psi, ahead_theta)
    return new_theta, new_psi""",
        """import numpy as np
from scipy.special import expit

def step(theta, psi, real, z, lr):
    theta, psi, real, z = (a.numpy() for a in (theta, psi, real, z))
    t, p = theta, psi
    for _ in range(2):
        for_psi = np.zeros_like(psi)
        weight = 0.0
        for x in real:
            for_psi -= expit(-(p @ x)) * x / len(real)
        for noise in z:
            fake = t + noise
            for_psi += expit(p @ fake) * fake / len(z)
            weight += expit(-(p @ fake)) / len(z)
        t, p = theta + lr * weight * p, psi - lr * for_psi
    return t, p""",
    ),
    "step/optimistic": (
        """def step(theta, psi, real, z, last_theta, last_psi, lr):
    theta, psi = theta.clone().requires_grad_(), psi.clone().requires_grad_()
    fake = theta + z
    d_loss = -F.logsigmoid(real @ psi).mean() - F.logsigmoid(-(fake @ psi)).mean()
    g_loss = -F.logsigmoid(fake @ psi).mean()
    (g_psi,) = torch.autograd.grad(d_loss, psi, retain_graph=True)
    (g_theta,) = torch.autograd.grad(g_loss, theta)
    with torch.no_grad():
        theta -= lr * (2 * g_theta - last_theta)
        psi -= lr * (2 * g_psi - last_psi)
    return theta, psi, g_theta, g_psi""",
        """import numpy as np
from scipy.special import expit

def step(theta, psi, real, z, last_theta, last_psi, lr):
    theta, psi, real, z, last_theta, last_psi = (
        a.numpy() for a in (theta, psi, real, z, last_theta, last_psi)
    )
    slope_psi, slope_theta = np.zeros_like(psi), np.zeros_like(theta)
    for x in real:
        slope_psi -= expit(-(psi @ x)) * x / len(real)
    for noise in z:
        fake = theta + noise
        slope_psi += expit(psi @ fake) * fake / len(z)
        slope_theta -= expit(-(psi @ fake)) * psi / len(z)
    theta = theta - lr * (2 * slope_theta - last_theta)
    psi = psi - lr * (2 * slope_psi - last_psi)
    return theta, psi, slope_theta, slope_psi""",
    ),
    "step/turns": (
        """def step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    theta, psi = theta.clone().requires_grad_(), psi.clone().requires_grad_()
    fake = (theta + z).detach()
    d_loss = F.softplus(-real @ psi).mean() + F.softplus(fake @ psi).mean()
    d_loss = d_loss + gamma / 2 * psi.square().sum()
    d_loss.backward()
    new_psi = psi.detach() - lr_d * psi.grad
    F.softplus(-((theta + z) @ new_psi)).mean().backward()
    new_theta = theta.detach() - lr_g * theta.grad
    return new_theta, new_psi, average.lerp(new_theta, 1 - decay)""",
        """import numpy as np
from scipy.special import expit

def step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    theta, psi, real, z, average = (a.numpy() for a in (theta, psi, real, z, average))
    fake = theta + z
    slope = gamma * psi
    for x in real:
        slope = slope - expit(-(x @ psi)) * x / len(real)
    for x in fake:
        slope = slope + expit(x @ psi) * x / len(fake)
    psi = psi - lr_d * slope
    theta = theta + lr_g * expit(-(fake @ psi)).mean() * psi
    return theta, psi, decay * average + (1 - decay) * theta""",
    ),
}

ANSWERS = {
    f"{assignment}/{name}": codes
    for assignment, answers in (
        ("mixtures", MIXTURES),
        ("vae", VAE),
        ("conditional_vae", CONDITIONAL_VAE),
        ("gan", GAN),
    )
    for name, codes in answers.items()
}
