"""Chapter 05's checks: the reference solutions pass, and each typical wrong answer is named."""

import math

import pytest
import torch
import torch.nn.functional as F

from course_lib import checks


def conditional_forward(encode, decode, x, y, noise):
    """Reference solution."""
    label = F.one_hot(y, 10).to(x.dtype)  # (N, 10)
    mu, logvar = encode(torch.cat([x, label], dim=1))
    z = mu + (logvar / 2).exp() * noise  # (N, d)
    return decode(torch.cat([z, label], dim=1)), mu, logvar


def style_rows(encode, decode, x, y):
    """Reference solution."""
    mu, _ = encode(x, y)
    return torch.stack([decode(mu, torch.full_like(y, label)) for label in range(10)], dim=1)


def log_marginal(log_px_y):
    """Reference solution."""
    return torch.logsumexp(log_px_y, dim=1) - math.log(10)


def first_label(*parts):
    return torch.cat(parts[::-1], 1)


def plain_cat(*parts):
    return torch.cat(parts, 1)


def forward(
    code=lambda mu, logvar, noise: mu + (logvar / 2).exp() * noise,
    join_x=plain_cat,
    join_z=plain_cat,
    label=lambda y: F.one_hot(y, 10).float(),
    result=lambda logits, mu, logvar, z: (logits, mu, logvar),
):
    """The reference, one step of it exchanged."""

    def student(encode, decode, x, y, noise):
        mu, logvar = encode(join_x(x, label(y)))
        z = code(mu, logvar, noise)
        return result(decode(join_z(z, label(y))), mu, logvar, z)

    return student


def forgetful(first, label):
    return first


def never_encoded(encode, decode, x, y, noise):
    mu, logvar = noise, noise
    return decode(plain_cat(mu, F.one_hot(y, 10))), mu, logvar


def row_by_row(encode, decode, x, y, noise):
    rows = [
        conditional_forward(encode, decode, *(v[None] for v in row)) for row in zip(x, y, noise, strict=True)
    ]
    return tuple(torch.cat(part) for part in zip(*rows, strict=True))


FORWARD = {
    "given to `encode` only": forward(join_z=forgetful),
    "given to `decode` only": forward(join_x=forgetful),
    "or to neither": forward(join_x=forgetful, join_z=forgetful),
    "append it to z too": forward(join_z=forgetful, code=lambda mu, logvar, noise: mu),
    "stands before x": forward(join_x=first_label),
    "stands before z": forward(join_z=first_label),
    "the label is one number": forward(label=lambda y: y[:, None].float()),
    "one number: make it one-hot": forward(label=lambda y: y[:, None]),
    "num_classes=10": forward(label=F.one_hot),
    "the noise is not used": forward(code=lambda mu, logvar, noise: mu),
    "std is taken as variance": forward(code=lambda mu, logvar, noise: mu + logvar.exp() * noise),
    "mu is missing": forward(code=lambda mu, logvar, noise: (logvar / 2).exp() * noise),
    "noise is drawn": forward(code=lambda mu, logvar, noise: mu + (logvar / 2).exp() * torch.randn_like(mu)),
    "what `decode` gets: a wrong value": forward(code=lambda mu, logvar, noise: mu + logvar * noise),
    "what `encode` gets: a wrong value": forward(label=lambda y: F.one_hot(9 - y, 10)),
    "what `encode` gets: a wrong shape": forward(label=lambda y: F.one_hot(y, 11)),
    "apply no sigmoid": forward(result=lambda logits, mu, logvar, z: (logits.sigmoid(), mu, logvar)),
    "z comes back": forward(result=lambda logits, mu, logvar, z: (logits, z, logvar)),
    "the std comes back": forward(result=lambda logits, mu, logvar, z: (logits, mu, (logvar / 2).exp())),
    "return the tuple": forward(result=lambda logits, mu, logvar, z: logits),
    "your logits: a wrong shape": forward(result=lambda logits, mu, logvar, z: (mu, logvar, logits)),
    "your mu: a wrong value": forward(result=lambda logits, mu, logvar, z: (logits, logvar, mu)),
    "`encode` once": never_encoded,
    "the whole batch at once": row_by_row,
    "with RuntimeError": forward(label=lambda y: y.float()),
}


def columns(one):
    """Ten columns, each from one(encode, decode, x, y, label)."""

    def student(encode, decode, x, y):
        return torch.stack([one(encode, decode, x, y, torch.full_like(y, c)) for c in range(10)], dim=1)

    return student


def noisy(encode, decode, x, y, label):
    mu, logvar = encode(x, y)
    return decode(mu + (logvar / 2).exp() * torch.randn_like(mu), label)


def noisy_rows(encode, decode, x, y):
    mu, logvar = encode(x, y)
    z = mu + (logvar / 2).exp() * torch.randn_like(mu)
    return torch.stack([decode(z, torch.full_like(y, c)) for c in range(10)], dim=1)


def ten_labels(encode, decode, x, y):
    return decode(encode(x, y)[0], torch.arange(10))  # three codes


STYLE = {
    "noise is drawn": columns(noisy),
    "noise is drawn:": noisy_rows,
    "own label": columns(lambda encode, decode, x, y, label: decode(encode(x, y)[0], y)),
    "encoded with the column's label": columns(
        lambda encode, decode, x, y, label: decode(encode(x, label)[0], label)
    ),
    "encoded with label 0": columns(lambda encode, decode, x, y, label: decode(encode(x, 0 * y)[0], label)),
    "logvar is decoded": columns(lambda encode, decode, x, y, label: decode(encode(x, y)[1], label)),
    "rows and columns are swapped": lambda *given: style_rows(*given).transpose(0, 1),
    "rows and columns are swapped:": lambda encode, decode, x, y: torch.stack(
        [decode(encode(x, y)[0], torch.full_like(y, label)) for label in range(10)]
    ),
    "rows and columns are mixed": lambda *given: style_rows(*given).transpose(0, 1).reshape(3, 10, -1),
    "sigmoid is applied twice": lambda *given: style_rows(*given).sigmoid(),
    "a wrong shape": lambda *given: style_rows(*given).flatten(0, 1),
    "which axis": lambda *given: style_rows(*given)[:, :9],
    "a wrong value": columns(lambda encode, decode, x, y, label: decode(encode(x, y)[0], 9 - label)),
    "a wrong value. Your element [1": lambda *given: style_rows(*given)[:1].expand(3, 10, 5),
    "y (N,) with z (N, d)": ten_labels,
    "a tuple, but": lambda *given: tuple(style_rows(*given)),
    "one label for each z": columns(lambda encode, decode, x, y, label: decode(encode(x, y)[0], 3)),
    "`encode` returns two": columns(lambda encode, decode, x, y, label: decode(encode(x, y), label)),
    "with AttributeError": columns(lambda encode, decode, x, y, label: decode(encode(x, y).mu, label)),
}
MARGINAL = {
    "ln 10 is forgotten": lambda log_px_y: log_px_y.logsumexp(1),
    "a mean of logs": lambda log_px_y: log_px_y.mean(1),
    "Your element [0] is -0.035": lambda log_px_y: log_px_y.logsumexp(1) / 10,
    "only the likeliest": lambda log_px_y: log_px_y.max(1).values,
    "summed over the images": lambda log_px_y: log_px_y.logsumexp(0) - math.log(10),
    "which axis": lambda log_px_y: log_px_y.logsumexp(0) - math.log(len(log_px_y)),
    "summed over the batch too": lambda log_px_y: log_marginal(log_px_y).sum(),
    "which axis do": lambda log_px_y: log_marginal(log_px_y).mean(),
    "exp of −900 rounds to 0": lambda log_px_y: log_px_y.exp().mean(1).log(),
    "exp of −900": lambda log_px_y: (log_px_y.double().exp().sum(1) / 10).log(),
    "a wrong value": lambda log_px_y: log_px_y.logsumexp(1) + math.log(10),
    "a wrong value. Your element [0] is -38.5": lambda log_px_y: log_px_y.sum(1),
    "900 rounds to 0: use": lambda log_px_y: (log_px_y.exp().mean(1) + 1e-30).log(),
    "expected (": lambda log_px_y: log_px_y.log_softmax(1),
    "the axes are not": lambda log_px_y: log_marginal(log_px_y)[:, None],
}


def all_at_once(encode, decode, x, y):
    mu, _ = encode(x, y)
    labels = torch.arange(10).repeat(len(x))  # (N · 10,): 0 to 9 for the first image, then for the next
    return decode(mu.repeat_interleave(10, 0), labels).reshape(len(x), 10, -1)


@pytest.mark.parametrize(
    ("check", "solution"),
    [
        (checks.conditional_forward, conditional_forward),
        (checks.conditional_forward, forward()),
        (checks.conditional_forward, forward(label=lambda y: F.one_hot(y, 10))),
        (checks.conditional_forward, forward(label=lambda y: torch.eye(10)[y])),
        (checks.conditional_forward, forward(result=lambda *parts: list(parts[:3]))),
        (checks.style_rows, style_rows),
        (checks.style_rows, all_at_once),
        (checks.log_marginal, log_marginal),
        (checks.log_marginal, lambda log_px_y: (log_px_y - math.log(10)).double().logsumexp(1)),
    ],
)
def test_right_answers_pass(check, solution):
    assert check(solution).status == "correct"


@pytest.mark.parametrize(
    ("check", "words", "wrong"),
    [(checks.conditional_forward, *pair) for pair in FORWARD.items()]
    + [(checks.style_rows, *pair) for pair in STYLE.items()]
    + [(checks.log_marginal, *pair) for pair in MARGINAL.items()],
)
def test_wrong_answers_are_named(check, words, wrong):
    result = check(wrong)
    assert result.status == "mistake"
    assert words in result.message
    assert "Mistake" not in result.message  # what our networks say is passed on as it is


def test_networks_answer_the_same_after_a_student_changed_their_answer_in_place():
    def student(encode, decode, x, y, noise):
        label = F.one_hot(y, 10)
        mu, logvar = encode(torch.cat([x, label], 1))
        z = noise.mul(logvar.div(2).exp()).add(mu)
        mu.zero_()  # spoils this answer only
        return decode(torch.cat([z, label], 1)), mu, logvar

    assert "your mu: a wrong value" in checks.conditional_forward(student).message
    assert checks.conditional_forward(conditional_forward).status == "correct"
