"""Chapter 08's checks: the reference solutions pass, and each typical wrong answer is named."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from course_lib import checks


def tile_sum(logits, program, block):
    """Reference solution."""
    pixel = program * block + torch.arange(block)
    inside = pixel < len(logits)
    loaded = logits[pixel.clamp(max=len(logits) - 1)]  # (block,)
    return torch.where(inside, softplus(loaded), 0.0).sum()


def online_logsumexp(joint, block):
    """Reference solution."""
    largest = torch.full((len(joint),), -math.inf)
    total = torch.zeros(len(joint))
    for tile in joint.split(block, 1):
        new = torch.maximum(largest, tile.amax(1))
        total = total * (largest - new).exp() + (tile - new[:, None]).exp().sum(1)
        largest = new
    return largest + total.log()


def elbo_gradients(logits, x, mu, logvar):
    """Reference solution."""
    n = len(logits)
    return (logits.sigmoid() - x) / n, mu / n, 0.5 * (logvar.exp() - 1) / n


def tile(
    start=lambda program, block: program * block,
    inside=lambda pixel, size, block: pixel < size,
    zero_after=True,
    term=softplus,
    result=torch.sum,
):
    """The reference, one step of it exchanged."""

    def student(logits, program, block):
        pixel = start(program, block) + torch.arange(block)
        mask = inside(pixel, len(logits), block)
        loaded = logits[pixel.clamp(0, len(logits) - 1)]
        if not zero_after:
            loaded = torch.where(mask, loaded, 0.0)
        terms = term(loaded)
        return result(torch.where(mask, terms, 0.0) if zero_after else terms)

    return student


def out_of_bounds(logits, program, block):
    return softplus(logits[program * block + torch.arange(block)]).sum()


def last_tile_only(logits, program, block):
    """Right where the checks of the last program look, wrong before."""
    return tile_sum(logits, len(logits) // block, block)


def slices_a_whole_image(logits, program, block):
    return tile_sum(logits, program, block) if len(logits) > block else softplus(logits).sum() + math.log(2)


TILE = {
    "log 2 is added": tile(zero_after=False),
    "one lane too many": tile(inside=lambda pixel, size, block: pixel <= size),
    "one lane too few": tile(inside=lambda pixel, size, block: pixel < size - 1),
    "the mask is turned": tile(inside=lambda pixel, size, block: pixel >= size),
    "compares with the block": tile(inside=lambda pixel, size, block: pixel < block),
    "this is the first tile": tile(start=lambda program, block: 0),
    "this is the tile before": tile(start=lambda program, block: (program - 1) * block),
    "not at k": tile(start=lambda program, block: program),
    "the sum over the whole image": lambda logits, program, block: softplus(logits).sum(),
    "the softplus is missing": tile(term=lambda v: v),
    "the exponential is summed": tile(term=torch.exp),
    "averaged over the lanes": tile(result=torch.mean),
    "averaged over the pixels": lambda logits, program, block: softplus(
        logits[program * block : (program + 1) * block]
    ).mean(),
    "one number a lane": lambda logits, program, block: softplus(logits[program * block :]),
    "with IndexError": out_of_bounds,
    "a full tile is not": last_tile_only,
    "smaller than the tile": slices_a_whole_image,
    "the last program's sum: a float": lambda *given: float(tile_sum(*given)),
    "a wrong value": tile(term=torch.sigmoid),
    "exp of 900 is infinity": tile(term=lambda v: torch.log(1 + v.exp())),
}


def online(
    rescale=lambda old, new: (old - new).exp(), start=-math.inf, stop=None, largest_of=torch.maximum, end=None
):
    """The reference, one step of it exchanged."""

    def student(joint, block):
        largest = torch.full((len(joint),), start)
        total = torch.zeros(len(joint))
        for piece in joint.split(block, 1)[:stop]:
            new = largest_of(largest, piece.amax(1))
            total = total * rescale(largest, new) + (piece - new[:, None]).exp().sum(1)
            largest = new
        return end(largest, total) if end else largest + total.log()

    return student


def no_maximum(joint, block):
    return sum(piece.exp().sum(1) for piece in joint.split(block, 1)).log()


def tiles_apart(joint, block):
    pieces = joint.split(block, 1)
    totals = sum((piece - piece.amax(1, keepdim=True)).exp().sum(1) for piece in pieces)
    return pieces[0].amax(1) + totals.log()


def from_the_first_tile(joint, block):
    """The factor turned, without the −∞ that makes it NaN."""
    first, *others = joint.split(block, 1)
    largest = first.amax(1)
    total = (first - largest[:, None]).exp().sum(1)
    for piece in others:
        new = torch.maximum(largest, piece.amax(1))
        total = total * (new - largest).exp() + (piece - new[:, None]).exp().sum(1)
        largest = new
    return largest + total.log()


def in_two_passes(joint, block):
    largest = torch.stack([piece.amax(1) for piece in joint.split(block, 1)]).amax(0)
    total = sum((piece - largest[:, None]).exp().sum(1) for piece in joint.split(block, 1))
    return largest + total.log()


def by_slices(joint, block):
    """In log space, tile by tile, whatever the layout in memory."""
    found = torch.full(joint.shape[:1], -math.inf)
    for begin in range(0, joint.shape[1], block):
        found = torch.logaddexp(found, joint.mT[begin : begin + block].logsumexp(0))
    return found


ONLINE = {
    "not rescaled": online(rescale=lambda old, new: 1.0),
    "subtract the largest number": no_maximum,
    "not added back": online(end=lambda largest, total: total.log()),
    "the logarithm is missing": lambda joint, block: joint.exp().sum(1),
    "relative to the maximum: take": online(end=lambda largest, total: total),
    "added to the total": online(end=lambda largest, total: largest + total),
    "the maximum only": online(end=lambda largest, total: largest),
    "the last tile only": lambda joint, block: joint.split(block, 1)[-1].logsumexp(1),
    "the last tile is left out": online(stop=-1),
    "this is the first tile": online(stop=1),
    "summed over the rows": lambda joint, block: joint.logsumexp(0),
    "a mean of exponentials": lambda joint, block: joint.logsumexp(1) - math.log(7),
    "the logarithms of the tiles": lambda joint, block: sum(t.logsumexp(1) for t in joint.split(block, 1)),
    "the numbers themselves": lambda joint, block: joint.sum(1),
    "different maxima": tiles_apart,
    "minus infinity: 0 is above": online(start=0.0),
    "relative to the new": online(largest_of=lambda old, new: old, start=-math.inf),
    "not by exp(new − old), infinite": online(rescale=lambda old, new: (new - old).exp()),
    "the factor is turned": from_the_first_tile,
    "one maximum serves all rows": online(largest_of=lambda old, new: torch.maximum(old, new.max())),
    "all K columns at once": lambda joint, block: joint.logsumexp(1),
    "which axis": lambda joint, block: online_logsumexp(joint, block).sum(),
}


def gradients(d_logits=None, d_mu=None, d_logvar=None, result=tuple):
    """The reference, one of its results exchanged."""

    def student(logits, x, mu, logvar):
        given, n = (logits, x, mu, logvar), len(logits)
        right = elbo_gradients(*given)
        changed = (d_logits, d_mu, d_logvar)
        return result([f(*given) / n if f else r for f, r in zip(changed, right, strict=True)])

    return student


GRADIENTS = {
    "1/N is missing": lambda *given: tuple(3 * g for g in elbo_gradients(*given)),
    "divided by N twice": lambda *given: tuple(g / 3 for g in elbo_gradients(*given)),
    "it is sigmoid(logits) − x": gradients(lambda a, x, m, v: x - a.sigmoid()),
    "the sigmoid is missing": gradients(lambda a, x, m, v: a - x),
    "averaged over the pixels": gradients(lambda a, x, m, v: (a.sigmoid() - x) / a.shape[1]),
    "a factor p(1 − p)": gradients(lambda a, x, m, v: (a.sigmoid() - x) * a.sigmoid() * (1 - a.sigmoid())),
    "derivative by the probability": gradients(
        lambda a, x, m, v: (a.sigmoid() - x) / (a.sigmoid() * (1 - a.sigmoid()))
    ),
    "x is missing": gradients(lambda a, x, m, v: a.sigmoid()),
    "a factor 2 too much": gradients(d_mu=lambda a, x, m, v: 2 * m),
    "a factor ½ too much": gradients(d_mu=lambda a, x, m, v: m / 2),
    "the KL grows with mu²": gradients(d_mu=lambda a, x, m, v: -m),
    "this is mu²": gradients(d_mu=lambda a, x, m, v: m**2),
    "the factor ½ of the KL is missing": gradients(d_logvar=lambda a, x, m, v: v.exp() - 1),
    "the −1 is missing": gradients(d_logvar=lambda a, x, m, v: v.exp() / 2),
    "it is ½ (exp(logvar) − 1)": gradients(d_logvar=lambda a, x, m, v: (1 - v.exp()) / 2),
    "taken as log-std": gradients(d_logvar=lambda a, x, m, v: ((2 * v).exp() - 1) / 2),
    "the std stands for the variance": gradients(d_logvar=lambda a, x, m, v: ((v / 2).exp() - 1) / 2),
    "return the tuple": gradients(result=lambda parts: parts[0]),
    "d_mu: a wrong shape": gradients(result=lambda parts: (parts[0], parts[1].sum(0), parts[2])),
    "d_logvar: a wrong value": gradients(d_logvar=lambda a, x, m, v: v),
    "d_logits looks like d_mu": gradients(result=lambda parts: (parts[1], parts[2], parts[0])),
    "d_mu looks like d_logvar": gradients(result=lambda parts: (parts[0], parts[2], parts[1])),
    "exp of 900 is infinity": gradients(d_logits=lambda a, x, m, v: a.exp() / (1 + a.exp()) - x),
}


def with_autograd(logits, x, mu, logvar):
    leaves = [t.clone().requires_grad_() for t in (logits, mu, logvar)]
    a, m, v = leaves
    terms = (softplus(a) - a * x).sum(1) + 0.5 * (v.exp() - 1 - v + m**2).sum(1)
    return torch.autograd.grad(terms.mean(), leaves)


@pytest.mark.parametrize(
    ("check", "solution"),
    [
        (checks.tile_sum, tile_sum),
        (checks.tile_sum, lambda logits, program, block: softplus(logits.split(block)[program]).sum()),
        (checks.online_logsumexp, online_logsumexp),
        (checks.online_logsumexp, in_two_passes),
        (checks.online_logsumexp, by_slices),
        (checks.elbo_gradients, elbo_gradients),
        (checks.elbo_gradients, with_autograd),
        (checks.elbo_gradients, lambda *given: list(elbo_gradients(*given))),
    ],
)
def test_right_answers_pass(check, solution):
    assert check(solution).status == "correct"


@pytest.mark.parametrize(
    ("check", "words", "wrong"),
    [(checks.tile_sum, *pair) for pair in TILE.items()]
    + [(checks.online_logsumexp, *pair) for pair in ONLINE.items()]
    + [(checks.elbo_gradients, *pair) for pair in GRADIENTS.items()],
)
def test_wrong_answers_are_named(check, words, wrong):
    result = check(wrong)
    assert result.status == "mistake"
    assert words in result.message


def test_two_passes_are_not_praised_as_one():
    message = checks.online_logsumexp(in_two_passes).message
    assert "tile by tile" in message
    assert "one pass" not in message


@pytest.mark.parametrize("check", [checks.tile_sum, checks.online_logsumexp, checks.elbo_gradients])
def test_a_stub_is_not_started(check):
    def stub(*given):
        raise NotImplementedError

    assert check(stub).status == "not started"
