"""Checks of "The conditional VAE": right answers of any style pass, wrong ones are named.

The tables were written from the notebook's text. A row of a table of wrong answers reads:
what the student did, the words that the message must contain, the answer.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from course_lib import checks
from course_lib.probability.gaussians import kl_diag

LN10 = math.log(10)


# ---------------------------------------------------------------- the way through a conditional VAE


def conditional_forward(encode, decode, x, y, noise):
    """Reference solution."""
    label = F.one_hot(y, 10).to(x.dtype)  # (N, 10)
    mu, logvar = encode(torch.cat([x, label], dim=1))
    z = mu + (logvar / 2).exp() * noise  # (N, d)
    return decode(torch.cat([z, label], dim=1)), mu, logvar


def beside(*parts):
    return torch.cat(parts, 1)


def label_first(*parts):
    return torch.cat(parts[::-1], 1)


def unlabelled(numbers, label):
    return numbers


def forward(
    code=lambda mu, logvar, noise: mu + (logvar / 2).exp() * noise,
    join_x=beside,
    join_z=beside,
    label=lambda y: F.one_hot(y, 10).float(),
    result=lambda logits, mu, logvar, z: (logits, mu, logvar),
):
    """The reference, one step of it exchanged."""

    def student(encode, decode, x, y, noise):
        mu, logvar = encode(join_x(x, label(y)))
        z = code(mu, logvar, noise)
        return result(decode(join_z(z, label(y))), mu, logvar, z)

    return student


def scattered(y):
    return torch.zeros(len(y), 10).scatter_(1, y[:, None], 1.0)


def compared(y):
    return (y[:, None] == torch.arange(10)).float()


def in_a_loop(y):
    rows = []
    for label in y.tolist():
        row = [0.0] * 10
        row[label] = 1.0
        rows.append(row)
    return torch.tensor(rows)


def row_by_row(encode, decode, x, y, noise):
    rows = [
        conditional_forward(encode, decode, x[i : i + 1], y[i : i + 1], noise[i : i + 1])
        for i in range(len(x))
    ]
    return tuple(torch.cat(part) for part in zip(*rows, strict=True))


def in_chunks(encode, decode, x, y, noise):
    chunks = zip(x.split(2), y.split(2), noise.split(2), strict=True)
    rows = [conditional_forward(encode, decode, *chunk) for chunk in chunks]
    return tuple(torch.cat(part) for part in zip(*rows, strict=True))


def mapped_over_images(encode, decode, x, y, noise):
    def one(image, label, e):
        mu, logvar = encode(torch.cat([image, label]))
        return decode(torch.cat([mu + torch.exp(0.5 * logvar) * e, label])), mu, logvar

    return torch.func.vmap(one)(x, F.one_hot(y, 10).float(), noise)


def in_double(encode, decode, x, y, noise):
    label = F.one_hot(y, 10).double()
    mu, logvar = encode(torch.cat([x.double(), label], 1))
    return decode(torch.cat([mu + (logvar / 2).exp() * noise.double(), label], 1)), mu, logvar


def in_place_on_clones(encode, decode, x, y, noise):
    label = F.one_hot(y, 10)
    mu, logvar = encode(torch.cat([x, label], 1))
    z = noise.clone().mul_((logvar / 2).exp()).add_(mu)
    return decode(torch.cat([z, label], 1)), mu, logvar


def into_wider_rows(encode, decode, x, y, noise):
    wide = torch.zeros(len(x), x.shape[1] + 10)
    wide[:, :-10] = x
    wide[torch.arange(len(x)), x.shape[1] + y] = 1.0
    mu, logvar = encode(wide)
    z = torch.addcmul(mu, torch.exp(logvar).sqrt(), noise)
    return decode(torch.hstack([z, wide[:, -10:]])), mu, logvar


def by_a_distribution(encode, decode, x, y, noise):
    label = F.one_hot(y, 10)
    mu, logvar = encode(torch.cat([x, label], -1))
    q = torch.distributions.Normal(mu, (logvar / 2).exp())
    return decode(torch.cat([q.loc + q.scale * noise, label], -1)), mu, logvar


RIGHT_FORWARD = {
    "reference": conditional_forward,
    "float one-hot": forward(),
    "whole-number one-hot": forward(label=lambda y: F.one_hot(y, 10)),
    "rows of the identity": forward(label=lambda y: torch.eye(10)[y]),
    "index_select of the identity": forward(label=lambda y: torch.eye(10).index_select(0, y)),
    "scatter": forward(label=scattered),
    "comparison with all labels": forward(label=compared),
    "a loop over the labels": forward(label=in_a_loop),
    "a bool one-hot": forward(label=lambda y: y[:, None] == torch.arange(10)),
    "root of the variance": forward(
        code=lambda mu, logvar, noise: mu + logvar.exp().sqrt() * noise
    ),
    "variance to the power ½": forward(
        code=lambda mu, logvar, noise: mu + logvar.exp() ** 0.5 * noise
    ),
    "torch.addcmul": forward(
        code=lambda mu, logvar, noise: torch.addcmul(mu, (0.5 * logvar).exp(), noise)
    ),
    "einsum": forward(
        code=lambda mu, logvar, noise: mu + torch.einsum("nd,nd->nd", (logvar / 2).exp(), noise)
    ),
    "a list comes back": forward(result=lambda logits, mu, logvar, z: [logits, mu, logvar]),
    "image by image": row_by_row,
    "in chunks of two": in_chunks,
    "torch.func.vmap": mapped_over_images,
    "float64": in_double,
    "in place on clones": in_place_on_clones,
    "written into wider rows": into_wider_rows,
    "a Normal distribution": by_a_distribution,
}


def never_encoded(encode, decode, x, y, noise):
    return decode(beside(noise, F.one_hot(y, 10))), noise, noise


def never_decoded(encode, decode, x, y, noise):
    mu, logvar = encode(beside(x, F.one_hot(y, 10)))
    return x, mu, logvar


def three_images(encode, decode, x, y, noise):
    rows = [
        conditional_forward(encode, decode, x[i : i + 1], y[i : i + 1], noise[i : i + 1])
        for i in range(3)
    ]
    return tuple(torch.cat(part) for part in zip(*rows, strict=True))


def encoder_frozen(encode, decode, x, y, noise):
    with torch.no_grad():
        mu, logvar = encode(beside(x, F.one_hot(y, 10)))
    return decode(beside(mu + (logvar / 2).exp() * noise, F.one_hot(y, 10))), mu, logvar


def spoils_mu(encode, decode, x, y, noise):
    label = F.one_hot(y, 10)
    mu, logvar = encode(beside(x, label))
    mu, given = mu.clone(), mu
    z = given + (logvar / 2).exp() * noise
    mu.zero_()
    return decode(beside(z, label)), mu, logvar


def fresh(mu):
    return torch.randn_like(mu)


WRONG_FORWARD = {
    "no label for z": ("only `encode` gets the label", forward(join_z=unlabelled)),
    "no label for x": ("only `decode` gets the label", forward(join_x=unlabelled)),
    "no label at all": (
        "neither network gets the label",
        forward(join_x=unlabelled, join_z=unlabelled),
    ),
    "no label for z, no noise": (
        "only `encode` gets the label",
        forward(join_z=unlabelled, code=lambda mu, logvar, noise: mu),
    ),
    "label before x": ("comes before x", forward(join_x=label_first)),
    "label before z": ("comes before z", forward(join_z=label_first)),
    "label before both": ("comes before x", forward(join_x=label_first, join_z=label_first)),
    "label as one float": (
        "the label is a single number",
        forward(label=lambda y: y[:, None].float()),
    ),
    "label as one integer": ("the label is a single number", forward(label=lambda y: y[:, None])),
    "label as a share of ten": (
        "the label is a single number",
        forward(label=lambda y: y[:, None] / 10),
    ),
    "one_hot without its number": ("num_classes=10", forward(label=F.one_hot)),
    "eleven classes": (
        "numbers and a one-hot label of length 10",
        forward(label=lambda y: F.one_hot(y, 11)),
    ),
    "nine classes from 1": (
        "num_classes=10",
        forward(label=lambda y: F.one_hot((y - 1).clamp(0), 9)),
    ),
    "label twice": (
        "numbers and a one-hot label of length 10",
        forward(label=lambda y: F.one_hot(y, 10).repeat(1, 2)),
    ),
    "labels backwards": ("a value is wrong", forward(label=lambda y: F.one_hot(9 - y, 10))),
    "labels shifted": (
        "a value is wrong",
        forward(label=lambda y: F.one_hot((y + 1) % 10, 10)),
    ),
    "one-hot of zeros": (
        "a value is wrong",
        forward(label=lambda y: torch.zeros(len(y), 10)),
    ),
    "one-hot of equal shares": (
        "a value is wrong",
        forward(label=lambda y: torch.full((len(y), 10), 0.1)),
    ),
    "no noise": ("the noise is not used", forward(code=lambda mu, logvar, noise: mu)),
    "variance in place of std": (
        "scaled by the variance",
        forward(code=lambda mu, logvar, noise: mu + logvar.exp() * noise),
    ),
    "mu forgotten": (
        "mu is missing",
        forward(code=lambda mu, logvar, noise: (logvar / 2).exp() * noise),
    ),
    "logvar as it is": (
        "the noise is scaled by logvar itself",
        forward(code=lambda mu, logvar, noise: mu + logvar * noise),
    ),
    "half of logvar": (
        "the exponential is missing",
        forward(code=lambda mu, logvar, noise: mu + logvar / 2 * noise),
    ),
    "std of 1": ("the noise is not scaled", forward(code=lambda mu, logvar, noise: mu + noise)),
    "sign of logvar": (
        "sign of the exponent",
        forward(code=lambda mu, logvar, noise: mu + (-logvar / 2).exp() * noise),
    ),
    "twice logvar": (
        "doubled, not halved",
        forward(code=lambda mu, logvar, noise: mu + (2 * logvar).exp() * noise),
    ),
    "noise subtracted": (
        "the noise is subtracted",
        forward(code=lambda mu, logvar, noise: mu - (logvar / 2).exp() * noise),
    ),
    "std added": (
        "the standard deviation is added without noise",
        forward(code=lambda mu, logvar, noise: mu + (logvar / 2).exp()),
    ),
    "mu and noise exchanged": (
        "mu and noise are swapped",
        forward(code=lambda mu, logvar, noise: noise + (logvar / 2).exp() * mu),
    ),
    "noise alone": ("the noise alone", forward(code=lambda mu, logvar, noise: noise)),
    "logvar decoded": ("logvar is decoded", forward(code=lambda mu, logvar, noise: logvar)),
    "noise drawn anew": (
        "function draws noise",
        forward(code=lambda mu, logvar, noise: mu + (logvar / 2).exp() * fresh(mu)),
    ),
    "logvar clamped": (
        "Is logvar clamped",
        forward(code=lambda mu, logvar, noise: mu + (logvar.clamp(-8, 8) / 2).exp() * noise),
    ),
    "std clamped": (
        "Is logvar clamped",
        forward(code=lambda mu, logvar, noise: mu + (logvar / 2).exp().clamp(min=0.01) * noise),
    ),
    "a small number added": (
        "Is logvar clamped",
        forward(code=lambda mu, logvar, noise: mu + (logvar.exp() + 1e-6).sqrt() * noise),
    ),
    "noise added on top": (
        "function draws noise",
        forward(code=lambda mu, logvar, noise: mu + (logvar / 2).exp() * noise + fresh(mu)),
    ),
    "logvar clamped from above": (
        "your logits: a value is wrong",
        forward(code=lambda mu, logvar, noise: mu + (logvar.clamp(max=0.0) / 2).exp() * noise),
    ),
    "a small number under the root": (
        "your logits: a value is wrong",
        forward(code=lambda mu, logvar, noise: mu + (logvar.exp() + 0.1).sqrt() * noise),
    ),
    "probabilities": (
        "a sigmoid is applied to the logits",
        forward(result=lambda logits, mu, logvar, z: (logits.sigmoid(), mu, logvar)),
    ),
    "z for mu": (
        "z is returned in place of mu",
        forward(result=lambda logits, mu, logvar, z: (logits, z, logvar)),
    ),
    "std for logvar": (
        "the standard deviation is returned in place of logvar",
        forward(result=lambda logits, mu, logvar, z: (logits, mu, (logvar / 2).exp())),
    ),
    "variance for logvar": (
        "the variance is returned in place of logvar",
        forward(result=lambda logits, mu, logvar, z: (logits, mu, logvar.exp())),
    ),
    "half of logvar back": (
        "half of logvar is returned",
        forward(result=lambda logits, mu, logvar, z: (logits, mu, logvar / 2)),
    ),
    "logits only": ("return 3 tensors", forward(result=lambda logits, mu, logvar, z: logits)),
    "mu and logvar only": (
        "return 3 tensors",
        forward(result=lambda logits, mu, logvar, z: (mu, logvar)),
    ),
    "z as well": (
        "return 3 tensors",
        forward(result=lambda logits, mu, logvar, z: (logits, mu, logvar, z)),
    ),
    "logits last": (
        "the wrong order",
        forward(result=lambda logits, mu, logvar, z: (mu, logvar, logits)),
    ),
    "logvar before mu": (
        "the wrong order",
        forward(result=lambda logits, mu, logvar, z: (logits, logvar, mu)),
    ),
    "mu first": (
        "the wrong order",
        forward(result=lambda logits, mu, logvar, z: (mu, logits, logvar)),
    ),
    "sum of the logits": (
        "your logits: the shape is wrong",
        forward(result=lambda logits, mu, logvar, z: (logits.sum(1), mu, logvar)),
    ),
    "encode is not called": ("`encode` is never called", never_encoded),
    "decode is not called": ("`decode` is never called", never_decoded),
    "two tensors, not joined": (
        "` takes a single tensor",
        lambda encode, decode, x, y, noise: encode((x, F.one_hot(y, 10))),
    ),
    "labels not one-hot and flat": ("with RuntimeError", forward(label=lambda y: y.float())),
    "three images": ("Is a size hard-coded", three_images),
    "noise of three": (
        "Is a size hard-coded",
        forward(label=lambda y: F.one_hot(y, 10).float() * torch.ones(3, 1)),
    ),
    "pixels counted as 5": (
        "Is a size hard-coded",
        forward(join_x=lambda x, label: beside(x[:, :5], label)),
    ),
    "two codes": (
        "Is a size hard-coded",
        forward(
            code=lambda mu, logvar, noise: mu[:, :2] + (logvar[:, :2] / 2).exp() * noise[:, :2]
        ),
    ),
    "the example's labels": (
        "Does it fit only the example",
        forward(label=lambda y: F.one_hot(torch.tensor([4, 0, 7]), 10)),
    ),
    "z detached": (
        "the encoder's weights is cut",
        forward(code=lambda mu, logvar, noise: (mu + (logvar / 2).exp() * noise).detach()),
    ),
    "mu detached in z": (
        "The problem is in your",
        forward(code=lambda mu, logvar, noise: mu.detach() + (logvar / 2).exp() * noise),
    ),
    "std detached in z": (
        "The problem is in your",
        forward(code=lambda mu, logvar, noise: mu + (logvar / 2).exp().detach() * noise),
    ),
    "logits detached": (
        "the encoder's weights is cut",
        forward(result=lambda logits, mu, logvar, z: (logits.detach(), mu, logvar)),
    ),
    "mu detached on return": (
        "the encoder's weights is cut",
        forward(result=lambda logits, mu, logvar, z: (logits, mu.detach(), logvar)),
    ),
    "logvar as numbers": (
        "the encoder's weights is cut",
        forward(result=lambda logits, mu, logvar, z: (logits, mu, torch.tensor(logvar.tolist()))),
    ),
    "encoder without gradient": ("the encoder's weights is cut", encoder_frozen),
    "mu spoilt in place": ("your mu: a value is wrong", spoils_mu),
}


# ---------------------------------------------------------------- rows of one style


def style_rows(encode, decode, x, y):
    """Reference solution."""
    mu, _ = encode(x, y)
    return torch.stack([decode(mu, torch.full_like(y, label)) for label in range(10)], dim=1)


def columns(one):
    """Ten columns, each from one(encode, decode, x, y, label); the label is (N,)."""

    def student(encode, decode, x, y):
        return torch.stack(
            [one(encode, decode, x, y, torch.full_like(y, c)) for c in range(10)], dim=1
        )

    return student


def from_codes(one):
    """The image is encoded once; ten columns, each from one(decode, mu, logvar, label)."""

    def student(encode, decode, x, y):
        mu, logvar = encode(x, y)
        return torch.stack(
            [one(decode, mu, logvar, torch.full_like(y, c)) for c in range(10)], dim=1
        )

    return student


def of_the_reference(change):
    def student(encode, decode, x, y):
        return change(style_rows(encode, decode, x, y))

    return student


def all_at_once(encode, decode, x, y):
    mu, _ = encode(x, y)
    # 0 to 9 for the first image, then for the next
    labels = torch.arange(10).repeat(len(x))  # (N · 10,)
    return decode(mu.repeat_interleave(10, 0), labels).reshape(len(x), 10, -1)


def as_in_section_4(encode, decode, x, y):
    mu, _ = encode(x, y)
    return decode(mu[:, None].expand(-1, 10, -1), torch.arange(10))


def one_label_for_each_of_three_axes(encode, decode, x, y):
    mu = encode(x, y)[0]
    return decode(mu[:, None].expand(-1, 10, -1), torch.arange(10).expand(len(x), 10))


def image_by_image(encode, decode, x, y):
    rows = []
    for image, label in zip(x, y, strict=True):
        mu, _ = encode(image[None], label[None])  # (1, d)
        rows.append(decode(mu.expand(10, -1), torch.arange(10)))  # (10, D)
    return torch.stack(rows)


def chunk_by_chunk(encode, decode, x, y):
    return torch.cat(
        [style_rows(encode, decode, *chunk) for chunk in zip(x.split(2), y.split(2), strict=True)]
    )


def into_an_empty_grid(encode, decode, x, y):
    mu, _ = encode(x, y)
    grid = torch.empty(len(x), 10, x.shape[1])
    for label in range(10):
        grid[:, label] = decode(mu, label * torch.ones_like(y))
    return grid


def joined_after_unsqueeze(encode, decode, x, y):
    mu = encode(x, y)[0]
    return torch.cat(
        [decode(mu, torch.tensor([label] * len(y)))[:, None] for label in range(10)], 1
    )


def permuted(encode, decode, x, y):
    mu = encode(x, y)[0]
    return torch.stack([decode(mu, 0 * y + label) for label in range(10)]).permute(1, 0, 2)


def stacked_then_swapped(encode, decode, x, y):
    mu, _ = encode(x, y)
    rows = [decode(mu, y.new_full(y.shape, label)) for label in range(10)]
    return torch.stack(rows).swapaxes(0, 1)


def mapped_over_labels(encode, decode, x, y):
    mu, _ = encode(x, y)
    labels = torch.arange(10)[:, None].expand(10, len(x))
    return torch.func.vmap(lambda label: decode(mu, label), out_dims=1)(labels)


def mapped_over_both(encode, decode, x, y):
    mu, _ = torch.func.vmap(encode)(x, y)
    over_labels = torch.func.vmap(decode, in_dims=(None, 0))
    return torch.func.vmap(lambda code: over_labels(code, torch.arange(10)))(mu)


def without_gradient(encode, decode, x, y):
    with torch.no_grad():
        return style_rows(encode, decode, x, y)


RIGHT_STYLE = {
    "reference": style_rows,
    "ten columns": from_codes(lambda decode, mu, logvar, label: decode(mu, label)),
    "all at once": all_at_once,
    "as in section 4": as_in_section_4,
    "three axes": one_label_for_each_of_three_axes,
    "image by image": image_by_image,
    "chunk by chunk": chunk_by_chunk,
    "into an empty grid": into_an_empty_grid,
    "cat along a new axis": joined_after_unsqueeze,
    "stack, then permute": permuted,
    "vmap over the labels": mapped_over_labels,
    "vmap over images and labels": mapped_over_both,
    "no_grad": without_gradient,
    "float64": lambda encode, decode, x, y: style_rows(encode, decode, x.double(), y),
    "stack, then swapaxes": stacked_then_swapped,
    "labels from torch.full": from_codes(
        lambda decode, mu, logvar, label: decode(mu, torch.full(label.shape, int(label[0])))
    ),
}


def noisy(decode, mu, logvar, label):
    return decode(mu + (logvar / 2).exp() * torch.randn_like(mu), label)


def one_noise_a_row(encode, decode, x, y):
    mu, logvar = encode(x, y)
    z = mu + (logvar / 2).exp() * torch.randn_like(mu)
    return torch.stack([decode(z, torch.full_like(y, label)) for label in range(10)], dim=1)


def encoded_for_every_cell(encode, decode, x, y):
    mu, _ = encode(x.repeat_interleave(10, 0), y.repeat_interleave(10))
    return decode(mu, torch.arange(10).repeat(len(x))).reshape(len(x), 10, -1)


def encoded_image_by_image_for_each_label(encode, decode, x, y):
    rows = []
    for n in range(len(x)):
        cells = []
        for label in range(10):
            mu, _ = encode(x[n : n + 1], y[n : n + 1])
            cells.append(decode(mu, torch.tensor([label]))[0])
        rows.append(torch.stack(cells))
    return torch.stack(rows)


def first_three(encode, decode, x, y):
    mu, _ = encode(x, y)
    rows = [decode(mu[n].expand(10, -1), torch.arange(10)) for n in range(3)]
    return torch.stack(rows)


def reshaped_to_five(encode, decode, x, y):
    return all_at_once(encode, decode, x, y).reshape(-1, 10, 5)


def two_numbers_of_the_code(encode, decode, x, y):
    mu = encode(x, y)[0]
    z = torch.zeros_like(mu)
    z[:, :2] = mu[:, :2]
    return torch.stack([decode(z, torch.full_like(y, label)) for label in range(10)], 1)


def originals_kept(encode, decode, x, y):
    images = style_rows(encode, decode, x, y).clone()
    images[torch.arange(len(x)), y] = x
    return images


WRONG_STYLE = {
    "noise in every cell": ("function draws noise", from_codes(noisy)),
    "one noise a row": ("function draws noise", one_noise_a_row),
    "own label in all columns": (
        "has the image's own label",
        from_codes(lambda decode, mu, logvar, label: decode(mu, torch.tensor([4, 0, 7]))),
    ),
    "encoded with the column's label": (
        "encoded with the column's label",
        columns(lambda encode, decode, x, y, label: decode(encode(x, label)[0], label)),
    ),
    "encoded with label 0": (
        "encoded with label 0",
        columns(lambda encode, decode, x, y, label: decode(encode(x, 0 * y)[0], label)),
    ),
    "logvar decoded": (
        "logvar is decoded",
        from_codes(lambda decode, mu, logvar, label: decode(logvar, label)),
    ),
    "mu + std decoded": (
        "mu + std",
        from_codes(lambda decode, mu, logvar, label: decode(mu + (logvar / 2).exp(), label)),
    ),
    "axes of rows and columns swapped": (
        "rows and columns are swapped",
        of_the_reference(lambda images: images.transpose(0, 1)),
    ),
    "stacked along axis 0": (
        "rows and columns are swapped",
        lambda encode, decode, x, y: torch.stack(
            [decode(encode(x, y)[0], torch.full_like(y, c)) for c in range(10)]
        ),
    ),
    "stacked along the last axis": (
        "along the last axis",
        of_the_reference(lambda images: images.transpose(1, 2)),
    ),
    "reshaped after the wrong stack": (
        "rows and columns are mixed",
        of_the_reference(lambda images: images.transpose(0, 1).reshape(3, 10, -1)),
    ),
    "labels slow, images fast": (
        "rows and columns are mixed",
        lambda encode, decode, x, y: decode(
            encode(x, y)[0].repeat(10, 1), torch.arange(10).repeat_interleave(len(x))
        ).reshape(len(x), 10, -1),
    ),
    "a second sigmoid": ("the sigmoid is applied twice", of_the_reference(torch.sigmoid)),
    "logits": ("logits are returned", of_the_reference(torch.logit)),
    "labels from 9 to 0": (
        "the labels are in reverse order",
        from_codes(lambda decode, mu, logvar, label: decode(mu, 9 - label)),
    ),
    "labels from 1": (
        "a label is not between 0 and 9",
        from_codes(lambda decode, mu, logvar, label: decode(mu, label + 1)),
    ),
    "labels from 1, and 0 last": (
        "shifted by one",
        from_codes(lambda decode, mu, logvar, label: decode(mu, (label + 1) % 10)),
    ),
    "labels from −1": (
        "a label is not between 0 and 9",
        from_codes(lambda decode, mu, logvar, label: decode(mu, label - 1)),
    ),
    "images backwards": (
        "the images are in reverse order",
        of_the_reference(lambda images: images.flip(0)),
    ),
    "the first image in all rows": (
        "all rows show the first image",
        of_the_reference(lambda images: images[:1].expand(3, 10, 5)),
    ),
    "the last image in all rows": (
        "all rows show the last image",
        of_the_reference(lambda images: images[-1:].expand(3, 10, 5)),
    ),
    "codes averaged over images": (
        "codes are averaged over the images",
        from_codes(lambda decode, mu, logvar, label: decode(mu.mean(0).expand_as(mu), label)),
    ),
    "images averaged": (
        "the result is averaged over the images",
        of_the_reference(lambda images: images.mean(0)),
    ),
    "columns averaged": (
        "the columns are averaged",
        of_the_reference(lambda images: images.mean(1)),
    ),
    "cat along axis 0": (
        "joined along an existing axis",
        of_the_reference(lambda images: torch.cat(list(images.unbind(1)))),
    ),
    "not reshaped": (
        "the axes of images and labels are merged",
        of_the_reference(lambda images: images.flatten(0, 1)),
    ),
    "cat along axis 1": (
        "the ten images of a row are joined",
        of_the_reference(lambda images: torch.cat(list(images.unbind(1)), 1)),
    ),
    "nine columns": ("label 9 is missing", of_the_reference(lambda images: images[:, :9])),
    "only the labels in y": (
        "only the labels that occur in y",
        lambda encode, decode, x, y: torch.stack(
            [decode(encode(x, y)[0], torch.full_like(y, int(c))) for c in y.unique()], 1
        ),
    ),
    "a column for each element of y": (
        "the columns have the labels of y",
        lambda encode, decode, x, y: torch.stack(
            [decode(encode(x, y)[0], torch.full_like(y, c)) for c in y.tolist()], 1
        ),
    ),
    "up to the largest label in y": (
        "the columns end at the largest label in y",
        lambda encode, decode, x, y: torch.stack(
            [decode(encode(x, y)[0], torch.full_like(y, c)) for c in range(int(y.max()) + 1)], 1
        ),
    ),
    "columns from 1": ("label 0 is missing", of_the_reference(lambda images: images[:, 1:])),
    "binarized": ("the pixels are binarized", of_the_reference(lambda images: images.round())),
    "bytes": ("scaled to bytes", of_the_reference(lambda images: images * 255)),
    "label 3 everywhere": (
        "every column has label 3",
        from_codes(lambda decode, mu, logvar, label: decode(mu, 0 * label + 3)),
    ),
    "drawn pixels": ("function draws noise", of_the_reference(torch.bernoulli)),
    "a label as a number": (
        "one label for each z",
        from_codes(lambda decode, mu, logvar, label: decode(mu, 3)),
    ),
    "a label as a tensor of no axis": (
        "one label for each z",
        from_codes(lambda decode, mu, logvar, label: decode(mu, label[0])),
    ),
    "ten labels for three codes": (
        "one label for each z",
        lambda encode, decode, x, y: decode(encode(x, y)[0], torch.arange(10)),
    ),
    "labels as a column": (
        "one label for each z",
        from_codes(lambda decode, mu, logvar, label: decode(mu, label[:, None])),
    ),
    "a one-hot label": (
        "one label for each z",
        from_codes(lambda decode, mu, logvar, label: decode(mu, F.one_hot(label, 10))),
    ),
    "float labels": (
        "but `one_hot` accepts only `torch.int64`",
        from_codes(lambda decode, mu, logvar, label: decode(mu, label.float())),
    ),
    "labels from torch.full of a float": (
        "but `one_hot` accepts only `torch.int64`",
        from_codes(lambda decode, mu, logvar, label: decode(mu, torch.full(label.shape, 3.0))),
    ),
    "labels like the pixels": (
        "but `one_hot` accepts only `torch.int64`",
        lambda encode, decode, x, y: torch.stack(
            [decode(encode(x, y)[0], torch.full_like(x[:, 0], c)) for c in range(10)], 1
        ),
    ),
    "labels of 32 bits": (
        "dtype torch.int32, but `one_hot` accepts only `torch.int64`",
        from_codes(lambda decode, mu, logvar, label: decode(mu, label.int())),
    ),
    "the originals on the diagonal": (
        "the column of the image's own label shows the original",
        originals_kept,
    ),
    "both of encode's results decoded": (
        "`encode` returns two",
        columns(lambda encode, decode, x, y, label: decode(encode(x, y), label)),
    ),
    "an attribute that is not there": (
        "with AttributeError",
        columns(lambda encode, decode, x, y, label: decode(encode(x, y).mu, label)),
    ),
    "a tuple of ten": ("but got tuple", of_the_reference(lambda images: tuple(images.unbind(1)))),
    "a list of lists": ("but got list", of_the_reference(lambda images: images.tolist())),
    "encoded in the loop": (
        "codes are computed for 3 images",
        columns(lambda encode, decode, x, y, label: decode(encode(x, y)[0], label)),
    ),
    "encoded for every cell at once": ("codes are computed for 3 images", encoded_for_every_cell),
    "encoded for each image and label": (
        "codes are computed for 3 images",
        encoded_image_by_image_for_each_label,
    ),
    "three rows": ("Is a size hard-coded", first_three),
    "five pixels": ("Is a size hard-coded", reshaped_to_five),
    "a label for each of three": (
        "Is a size hard-coded",
        from_codes(lambda decode, mu, logvar, label: decode(mu, torch.full((3,), int(label[0])))),
    ),
    "two numbers of the code": ("Is a size hard-coded", two_numbers_of_the_code),
    "the example's labels": (
        "Does it fit only the example",
        lambda encode, decode, x, y: style_rows(encode, decode, x, torch.tensor([4, 0, 7])),
    ),
}


# ---------------------------------------------------------------- log P(x) from log P(x|y)


def log_marginal(log_px_y):
    """Reference solution."""
    return torch.logsumexp(log_px_y, dim=1) - math.log(10)


def label_by_label(log_px_y):
    total = log_px_y[:, 0]
    for label in range(1, 10):
        total = torch.logaddexp(total, log_px_y[:, label])
    return total - LN10


def row_by_row_in_python(log_px_y):
    found = []
    for row in log_px_y.tolist():
        largest = max(row)
        found.append(largest + math.log(sum(math.exp(v - largest) for v in row) / 10))
    return torch.tensor(found)


def by_hand(log_px_y, shift=lambda v: v.amax(1, keepdim=True)):
    largest = shift(log_px_y)
    return (largest + (log_px_y - largest).exp().mean(1, keepdim=True).log())[:, 0]


def in_place(log_px_y):
    v = log_px_y.clone()
    largest = v.max(1).values
    v.sub_(largest[:, None]).exp_()
    return v.mean(1).log_().add_(largest)


def with_sorted(log_px_y):
    v = log_px_y.sort(1, descending=True).values
    return v[:, 0] + torch.log1p((v[:, 1:] - v[:, :1]).exp().sum(1)) - LN10


RIGHT_MARGINAL = {
    "reference": log_marginal,
    "the method": lambda v: v.logsumexp(-1) - LN10,
    "ln 10 first, float64": lambda v: (v - LN10).double().logsumexp(1),
    "plus the logarithm of a tenth": lambda v: (v + math.log(0.1)).logsumexp(1),
    "a tensor of ln 10": lambda v: v.logsumexp(1) - torch.tensor(10.0).log(),
    "ln of the number of labels": lambda v: v.logsumexp(1) - math.log(v.shape[1]),
    "label by label": label_by_label,
    "row by row, in Python": row_by_row_in_python,
    "by hand": by_hand,
    "in place on a clone": in_place,
    "sorted, with log1p": with_sorted,
    "with a log prior": lambda v: torch.logsumexp(v + torch.full((10,), 0.1).log(), 1),
    "log_softmax turned round": lambda v: (v - v.log_softmax(1))[:, 0] - LN10,
    "cross entropy": lambda v: (
        v[:, 3] + F.cross_entropy(v, torch.full((len(v),), 3), reduction="none") - LN10
    ),
    "vmap": lambda v: torch.func.vmap(lambda row: row.logsumexp(0) - LN10)(v),
    "image by image": lambda v: torch.stack([row.logsumexp(0) - LN10 for row in v]),
    "in chunks": lambda v: torch.cat([part.logsumexp(1) for part in v.split(2)]) - LN10,
    "einsum of the shifted": lambda v: (
        v.amax(1)
        + torch.einsum("nk,k->n", (v - v.amax(1, keepdim=True)).exp(), torch.full((10,), 0.1)).log()
    ),
    "torch.func.jvp keeps the value": lambda v: torch.func.jvp(log_marginal, (v,), (v,))[0],
    "a mixture of torch": lambda v: torch.logsumexp(
        torch.distributions.Categorical(logits=torch.zeros(10)).logits + v, 1
    ),
}
WRONG_MARGINAL = {
    "no ln 10": ("ln 10 is not subtracted", lambda v: v.logsumexp(1)),
    "ln 10 added": ("the sign of ln 10 is flipped", lambda v: v.logsumexp(1) + LN10),
    "divided by ten": ("divided by 10 after the logarithm", lambda v: v.logsumexp(1) / 10),
    "ten subtracted": ("10 itself is subtracted", lambda v: v.logsumexp(1) - 10),
    "a tenth subtracted": ("1/10 itself is subtracted", lambda v: v.logsumexp(1) - 0.1),
    "times ten": ("multiplied by 10", lambda v: v.logsumexp(1) * 10),
    "times ln 10": ("the logarithm is multiplied by ln 10", lambda v: v.logsumexp(1) * LN10),
    "ln 10 twice": ("subtracted twice", lambda v: v.logsumexp(1) - math.log(100)),
    "bits": ("is in bits", lambda v: log_marginal(v) / math.log(2)),
    "base 10": ("logarithms to base 10", lambda v: log_marginal(v) / LN10),
    "log2 of ten": ("bits and nats are mixed", lambda v: v.logsumexp(1) - math.log2(10)),
    "log10 of ten": ("log10(10) = 1", lambda v: v.logsumexp(1) - math.log10(10)),
    "mean of the logs": ("the mean of the logs is taken", lambda v: v.mean(1)),
    "sum of the logs": ("the sum of the logs is taken", lambda v: v.sum(1)),
    "sum of logs less ln 10": (
        "ln 10 is subtracted from each label, and the logarithms are added",
        lambda v: (v - LN10).sum(1),
    ),
    "the maximum": ("only the most likely label counts", lambda v: v.max(1).values),
    "the maximum less ln 10": ("ln 10 is right", lambda v: v.amax(1) - LN10),
    "over the images": ("the sum is over the images (axis 0)", lambda v: v.logsumexp(0) - LN10),
    "over the images, by their number": (
        "the mean is over the images (axis 0)",
        lambda v: v.logsumexp(0) - math.log(len(v)),
    ),
    "over the images, no ln 10": (
        "the sum is over the images (axis 0), without ln 10",
        lambda v: v.logsumexp(0),
    ),
    "summed over the batch": (
        "the result is also summed over the batch",
        lambda v: log_marginal(v).sum(),
    ),
    "averaged over the batch": (
        "the result is also averaged over the batch",
        lambda v: log_marginal(v).mean(),
    ),
    "over both axes": (
        "labels and images are summed together",
        lambda v: v.logsumexp((0, 1)) - LN10,
    ),
    "P(x)": ("the logarithm is missing", lambda v: v.exp().mean(1)),
    "the sum of P(x|y)": ("the sum of P(x|y)", lambda v: v.exp().sum(1)),
    "minus log P(x)": ("the sign is flipped", lambda v: LN10 - v.logsumexp(1)),
    "log P(y|x)": ("the result is log P(y|x)", lambda v: v.log_softmax(1)),
    "P(y|x)": ("the result is P(y|x)", lambda v: v.softmax(1)),
    "log P(x, y)": ("the result is log P(x, y) for each label", lambda v: v - LN10),
    "ln of the number of images": (
        "the number of images",
        lambda v: v.logsumexp(1) - math.log(len(v)),
    ),
    "exp first": ("exp(−900) rounds to 0, and the logarithm of 0", lambda v: v.exp().mean(1).log()),
    "exp first, in float64": (
        "exp(−900) rounds to 0, and the log",
        lambda v: (v.double().exp().sum(1) / 10).log(),
    ),
    "a small number inside": (
        "a clamp or a small number inside",
        lambda v: (v.exp().mean(1) + 1e-30).log(),
    ),
    "a small number that hides little": (
        "a clamp or a small number inside",
        lambda v: (v.double().exp().mean(1) + 1e-300).log(),
    ),
    "a clamp inside": (
        "a clamp or a small number inside",
        lambda v: v.exp().mean(1).clamp(min=1e-38).log(),
    ),
    "logs clamped": (
        "a clamp or a small number inside",
        lambda v: v.clamp(min=-80).logsumexp(1) - LN10,
    ),
    "NaN replaced": (
        "a clamp or a small number inside",
        lambda v: v.exp().mean(1).log().nan_to_num(neginf=-100.0),
    ),
    "shift by the mean": (
        "the mean of the row is subtracted",
        lambda v: by_hand(v, lambda v: v.mean(1, keepdim=True)),
    ),
    "shift by the smallest": (
        "the smallest number of the row",
        lambda v: by_hand(v, lambda v: v.amin(1, keepdim=True)),
    ),
    "shift by the first": ("the first number of the row", lambda v: by_hand(v, lambda v: v[:, :1])),
    "shift by the last": ("the last number of the row", lambda v: by_hand(v, lambda v: v[:, -1:])),
    "shift by the median": (
        "the median of the row",
        lambda v: by_hand(v, lambda v: v.median(1, keepdim=True).values),
    ),
    "shift by the largest of all": (
        "the largest number of all rows",
        lambda v: by_hand(v, lambda v: v.max()),
    ),
    "shift by the mean of all": ("the mean of all rows", lambda v: by_hand(v, lambda v: v.mean())),
    "shift by the smallest of all": (
        "the smallest number of all rows",
        lambda v: by_hand(v, lambda v: v.min()),
    ),
    "shift by the largest of all, float64": (
        "the largest number of all rows",
        lambda v: by_hand(v.double(), lambda v: v.max()),
    ),
    "shift by the mean, float64": (
        "the mean of the row is subtracted",
        lambda v: by_hand(v.double(), lambda v: v.mean(1, keepdim=True)),
    ),
    "two rows": (
        "Is a size hard-coded",
        lambda v: torch.stack([log_marginal(v)[i] for i in range(2)]),
    ),
    "zeros for two": ("Is a size hard-coded", lambda v: torch.zeros(2) + log_marginal(v)),
    "the example's answer": (
        "Does it fit only the example",
        lambda v: torch.tensor([-2.652373, -2.262114]),
    ),
    "kept axis": ("the axes are not", lambda v: log_marginal(v)[:, None]),
    "a list": ("but got list", lambda v: log_marginal(v).tolist()),
    "log_softmax of nothing": ("returns None", lambda v: None),
}


# ---------------------------------------------------------------- the KL of a learned prior


def kl_between(mu, logvar, prior_mu, prior_logvar):
    """Reference solution."""
    square = (mu - prior_mu) ** 2
    ratio = logvar - prior_logvar
    return (ratio.exp() + square / prior_logvar.exp() - 1 - ratio).sum(1) / 2


def of_the_kl(change):
    return lambda *given: change(kl_between(*given))


def of_each_kl(change):
    """The change is made to the KL of each dimension, (N, d), before the sum."""

    def student(mu, logvar, prior_mu, prior_logvar):
        square, ratio = (mu - prior_mu) ** 2, logvar - prior_logvar
        each = (ratio.exp() + square / prior_logvar.exp() - 1 - ratio) / 2
        return change(each, mu, logvar, prior_mu, prior_logvar).sum(1)

    return student


def of_torch(mu, logvar, prior_mu, prior_logvar):
    q = torch.distributions.Normal(mu, (logvar / 2).exp())
    p = torch.distributions.Normal(prior_mu, (prior_logvar / 2).exp())
    return torch.distributions.kl_divergence(q, p).sum(-1)


def of_torch_as_one(mu, logvar, prior_mu, prior_logvar):
    q = torch.distributions.Independent(torch.distributions.Normal(mu, (logvar / 2).exp()), 1)
    p = torch.distributions.Normal(prior_mu, (prior_logvar / 2).exp())
    return torch.distributions.kl_divergence(q, torch.distributions.Independent(p, 1))


def with_stds(mu, logvar, prior_mu, prior_logvar):
    s, t = (logvar / 2).exp(), (prior_logvar / 2).exp()
    return ((t / s).log() + (s**2 + (mu - prior_mu) ** 2) / (2 * t**2) - 0.5).sum(1)


RIGHT_KL = {
    "reference": kl_between,
    "the package's": kl_diag,
    "torch.distributions": of_torch,
    "torch.distributions, one distribution": of_torch_as_one,
    "standard deviations": with_stds,
    "float64": lambda *given: kl_between(*(value.double() for value in given)),
    "vmap": torch.vmap(lambda *rows: kl_between(*(row[None] for row in rows))[0]),
}
WRONG_KL = {
    "one number per dimension": (
        "one number per dimension. Sum over the dimensions of z",
        lambda m, v, p, w: torch.distributions.kl_divergence(
            torch.distributions.Normal(m, (v / 2).exp()),
            torch.distributions.Normal(p, (w / 2).exp()),
        ),
    ),
    "averaged over dimensions": ("averaged over dimensions", of_the_kl(lambda kl: kl / 3)),
    "summed over the batch": ("also summed over the images", of_the_kl(torch.sum)),
    "averaged over the batch": ("averaged over the images", of_the_kl(torch.mean)),
    "sign": ("the sign is flipped. A KL", of_the_kl(torch.neg)),
    "twice": ("the factor ½ is missing", of_the_kl(lambda kl: 2 * kl)),
    "bits": ("is in bits", of_the_kl(lambda kl: kl / math.log(2))),
    "standard normal": ("the prior is not used", lambda m, v, p, w: kl_diag(m, v)),
    "no prior_logvar": ("prior_logvar is not used", lambda m, v, p, w: kl_diag(m, v, p)),
    "no prior_mu": ("prior_mu is not used", lambda m, v, p, w: kl_diag(m, v, 0 * p, w)),
    "reversed": ("the direction is reversed", lambda m, v, p, w: kl_diag(p, w, m, v)),
    "log-std": ("treated as the log-std", lambda m, v, p, w: kl_diag(m, 2 * v, p, 2 * w)),
    "over the images": (
        "summed over the images. Sum over the dimensions, axis 1",
        lambda m, v, p, w: kl_diag(m.T, v.T, p.T, w.T),
    ),
    "no −1": ("the −1 is missing", of_each_kl(lambda each, *given: each + 0.5)),
    "no −logvar": ("−logvar is missing", of_each_kl(lambda each, m, v, p, w: each + v / 2)),
    "no log of the prior's variance": (
        "prior_logvar is not added",
        of_each_kl(lambda each, m, v, p, w: each - w / 2),
    ),
    "ratio turned round": (
        "the sign of log(σ²/σ_P²) is flipped",
        of_each_kl(lambda each, m, v, p, w: each + v - w),
    ),
    "square not divided": (
        "the squared difference of the means is not divided",
        of_each_kl(lambda each, m, v, p, w: each + (m - p) ** 2 * (1 - (-w).exp()) / 2),
    ),
    "variance not divided": (
        "the variance of q is not divided",
        of_each_kl(lambda each, m, v, p, w: each + v.exp() * (1 - (-w).exp()) / 2),
    ),
    "no square": (
        "the squared difference of the means is missing",
        of_each_kl(lambda each, m, v, p, w: each - (m - p) ** 2 * (-w).exp() / 2),
    ),
    "not squared": (
        "the difference of the means is not squared",
        of_each_kl(lambda each, m, v, p, w: each + (m - p - (m - p) ** 2) * (-w).exp() / 2),
    ),
    "below zero": ("a KL divergence is never negative", of_the_kl(lambda kl: kl - 20)),
    "two rows": ("Is a size hard-coded", of_the_kl(lambda kl: kl[:2])),
    "detached": ("gradient with respect to mu is cut", of_the_kl(torch.detach)),
    "prior detached": (
        "gradient with respect to prior_mu is cut",
        lambda m, v, p, w: kl_between(m, v, p.detach(), w),
    ),
}

RIGHT = {
    "kl_between": RIGHT_KL,
    "conditional_forward": RIGHT_FORWARD,
    "style_rows": RIGHT_STYLE,
    "log_marginal": RIGHT_MARGINAL,
}
WRONG = {
    "kl_between": WRONG_KL,
    "conditional_forward": WRONG_FORWARD,
    "style_rows": WRONG_STYLE,
    "log_marginal": WRONG_MARGINAL,
}
RIGHT_CASES = [
    pytest.param(name, answer, id=f"{name}: {style}")
    for name, answers in RIGHT.items()
    for style, answer in answers.items()
]
WRONG_CASES = [
    pytest.param(name, words, answer, id=f"{name}: {what}")
    for name, answers in WRONG.items()
    for what, (words, answer) in answers.items()
]


# torch.func.jvp makes torch itself warn of a function that it still uses
@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize(("name", "answer"), RIGHT_CASES)
def test_right_answers_pass(name, answer):
    for _ in range(3):  # some inputs are drawn anew
        result = getattr(checks, name)(answer)
        assert result.status == "correct", result.message


@pytest.mark.parametrize(("name", "words", "answer"), WRONG_CASES)
def test_wrong_answers_are_named(name, words, answer):
    result = getattr(checks, name)(answer)
    assert result.status == "mistake"
    assert words in result.message


@pytest.mark.parametrize("name", RIGHT)
def test_no_drawn_input_ever_refuses_the_reference(name):
    for _ in range(100):
        result = getattr(checks, name)(RIGHT[name]["reference"])
        assert result.status == "correct", result.message


@pytest.mark.parametrize("name", ["conditional_forward", "style_rows", "log_marginal"])
def test_there_are_many_styles_and_many_mistakes(name):
    assert len(RIGHT[name]) >= 15
    assert len(WRONG[name]) >= 30
