"""Recipes: their numbers arrive where they belong, one seed gives one model; the command line."""

import copy
import math
import signal
import sys
from dataclasses import replace

import pytest
import torch

from course_lib import recipes
from course_lib.data import Digits, fixed_binarization, uci_digits
from course_lib.evaluation.classifier import Classifier
from course_lib.evaluation.likelihood import nll
from course_lib.models.autoencoder import AutoEncoder
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.models.gan import GAN
from course_lib.models.vae import VAE
from course_lib.recipes import RECIPES, Recipe, likelihood_of, train
from course_lib.training.checkpoints import CheckpointError, describe, load_model, save_model
from course_lib.training.gan import GANRecipe

FULL = Recipe(  # every ingredient, in a small network
    config={"latent": 3, "hidden": [16], "activation": "silu"},
    epochs=2,
    batch_size=50,
    lr=4e-3,
    cosine=True,
    warmup=0.4,
    mean_image=True,
    autocast=True,
)
CONDITIONAL = replace(FULL, model=ConditionalVAE)


@pytest.fixture(scope="module")
def digits():
    whole = uci_digits(quiet=True)
    return Digits(whole.images[:520], whole.labels[:520], "UCI")


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_trains(recipe, digits, tmp_path):
    model, run = train(recipe, digits, epochs=1, quiet=True)
    gan = isinstance(recipe, GANRecipe)
    assert type(model) is (GAN if gan else recipe.model)
    assert not model.training
    assert run.epoch == 1
    assert run.step == -(-520 // (recipe.batch_size * (recipe.d_steps if gan else 1)))
    assert recipe.config.items() <= model.config.to_json().items()
    assert model.config.shape == (8, 8)
    assert all(math.isfinite(v[-1]) for v in run.history.values())
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert torch.equal(weights(again), weights(model))
    if gan:
        assert 0 < again.generate(20).mean() < 1
        return
    y = digits.labels[:20] if recipe.model is ConditionalVAE else None
    x = fixed_binarization(digits.images[:20]).flatten(1)
    # an untrained model says log 2 a pixel, 44 nats; a random one says anything
    assert 10 < nll(again, x, (1, 5), y=y, progress=False)[5].mean < 50


def schedule(recipe, digits):
    """The learning rate and beta of each step."""
    rates = []
    _, run = train(
        recipe,
        digits,
        quiet=True,
        report_every=1,
        picture_every=1e-9,
        picture=lambda run: rates.append(float(run.parts["optimizer"].param_groups[0]["lr"])),
    )
    loss, reconstruction, kl = (
        torch.tensor(run.history[k]) for k in ("loss", "reconstruction", "kl")
    )
    return torch.tensor(rates), (loss - reconstruction) / kl


def test_schedules_follow_the_progress(digits):
    recipe = replace(FULL, autocast=False, beta=2.0)
    rates, betas = schedule(recipe, digits)
    steps = 22  # 2 epochs of 11 batches of 50 or less
    assert len(rates) == len(betas) == steps
    progress = torch.arange(steps) / steps
    # half a cosine
    torch.testing.assert_close(rates, 4e-3 * torch.cos(math.pi / 2 * progress) ** 2)
    assert rates[0] == pytest.approx(4e-3)
    assert rates[11] == pytest.approx(2e-3)
    # a ratio of differences of float32 numbers near 50, with a KL of about 1
    torch.testing.assert_close(betas, 2 * (progress / 0.4).clamp(max=1), rtol=0, atol=1e-3)


def test_the_rate_may_stay_constant_and_fall_at_the_end(digits):
    rates, _ = schedule(replace(FULL, autocast=False, cosine=False, decay=0.5), digits)
    # 22 steps: constant for the first half, then 11/11, 10/11, …, 1/11 of the rate
    expected = 4e-3 * torch.tensor([1.0] * 11 + [1 - i / 11 for i in range(11)])
    torch.testing.assert_close(rates, expected)


@pytest.mark.parametrize(
    "settings", [{"decay": 1.5}, {"decay": -0.1}, {"decay": math.nan}, {"decay": 0.5}]
)
def test_a_decay_that_cannot_be_is_refused(settings):
    with pytest.raises(ValueError, match=r"decay, .*must be from 0 to 1, and 0 if cosine is True"):
        replace(FULL, **settings)


def test_a_late_decay_identifies_a_run_and_its_absence_does_not(digits):
    model = FULL.build(digits)
    assert "decay" not in FULL.hyperparameters(model)
    assert replace(FULL, cosine=False, decay=0.5).hyperparameters(model)["decay"] == 0.5


def test_a_plain_recipe_has_no_schedules(digits):
    rates, betas = schedule(replace(FULL, autocast=False, cosine=False, warmup=0.0), digits)
    torch.testing.assert_close(rates, torch.full((22,), 4e-3))
    torch.testing.assert_close(betas, torch.ones(22), rtol=0, atol=1e-3)


@pytest.mark.parametrize("recipe", [FULL, CONDITIONAL], ids=["vae", "conditional"])
def test_the_first_step_begins_at_the_mean_image(recipe, digits):
    images = digits.images.flatten(1).double() / 255
    p = images.mean(0).clamp(1e-3, 1 - 1e-3)
    grey = -(images * p.log() + (1 - images) * (1 - p).log()).sum(1).mean().item()  # 27 nats
    first = {}
    for on in (True, False):
        _, run = train(
            replace(recipe, mean_image=on, batch_size=260), digits, quiet=True, report_every=1
        )
        first[on] = run.history["reconstruction"][0]
    # fresh weights add a little noise to the logits; 260 of 520 digits are another half a nat
    assert first[True] == pytest.approx(grey, abs=1.5)
    assert first[False] == pytest.approx(64 * math.log(2), abs=1.5)


@pytest.mark.parametrize("recipe", [FULL, CONDITIONAL], ids=["vae", "conditional"])
def test_the_same_seed_gives_the_same_model(recipe, digits):
    torch.manual_seed(123)
    first = weights(train(recipe, digits, seed=1, quiet=True)[0])
    torch.rand(7)  # what was drawn before does not matter
    assert torch.equal(weights(train(recipe, digits, seed=1, quiet=True)[0]), first)
    assert not torch.allclose(weights(train(recipe, digits, seed=2, quiet=True)[0]), first)
    assert not torch.allclose(
        weights(train(recipe, digits, seed=1, epochs=1, quiet=True)[0]), first
    )


def test_the_seed_decides_more_than_the_first_weights(digits, monkeypatch):
    """Even with equal first weights two seeds part: order and noise come from the seed."""
    recipe = replace(FULL, epochs=1, mean_image=False, autocast=False)
    start, _ = train(recipe, digits, epochs=0, quiet=True)
    monkeypatch.setattr(Recipe, "build", lambda self, digits: copy.deepcopy(start).train())
    first = weights(train(recipe, digits, seed=1, quiet=True)[0])
    assert torch.equal(weights(train(recipe, digits, seed=1, quiet=True)[0]), first)
    assert not torch.allclose(weights(train(recipe, digits, seed=2, quiet=True)[0]), first)


@pytest.mark.parametrize("recipe", [FULL, CONDITIONAL], ids=["vae", "conditional"])
def test_an_interrupted_training_resumes_to_the_same_model(recipe, digits, tmp_path, capsys):
    def stop(run):
        if run.step == 13:
            signal.raise_signal(signal.SIGINT)

    whole, path = weights(train(recipe, digits, quiet=True)[0]), tmp_path / "run.safetensors"
    _, run = train(recipe, digits, checkpoint=path, quiet=True, picture=stop, picture_every=1e-9)
    assert run.step == 13
    torch.rand(5)
    model, run = train(recipe, digits, checkpoint=path, quiet=True)
    assert "Resumed from" in capsys.readouterr().out
    assert run.step == 22
    assert torch.equal(weights(model), whole)
    with pytest.raises(CheckpointError, match=f"beta is 7.0 here but {recipe.beta} in the file"):
        train(replace(recipe, beta=7.0), digits, checkpoint=path, quiet=True)


@pytest.mark.parametrize(
    "recipe", [FULL, GANRecipe({"latent": 3, "hidden": [4, 5]})], ids=["vae", "gan"]
)
def test_what_computes_is_said_once_and_evaluations_get_the_model(recipe, digits, capsys):
    seen = []

    def look(model):
        seen.append(model)
        return {"training": float(model.training)}

    model, run = train(recipe, digits, epochs=2, evaluate=look)
    said = capsys.readouterr().out
    assert said.startswith("Batches and loss: plain PyTorch functions, on cpu.\n")
    assert said.count("Batches") == 1
    assert seen == [model, model]
    assert run.evaluations["training"] == [1, 1]
    train(recipe, digits, epochs=1, quiet=True)
    assert capsys.readouterr().out == ""


def test_no_epochs_are_no_epochs(digits):
    model, run = train(FULL, digits, epochs=0, quiet=True)
    assert run.step == 0
    assert model.decoder.bias.std() > 1  # the mean image


def test_autocast_is_used(digits, monkeypatch):
    # else it would be imitated, slowly
    monkeypatch.setattr(recipes, "knows_bfloat16", lambda device: True)
    seen = {}
    for on in (True, False):
        torch.manual_seed(0)
        seen[on] = weights(train(replace(FULL, autocast=on), digits, quiet=True)[0])
    assert not torch.equal(seen[True], seen[False])
    # the same model but for bfloat16's rounding: Adam moves each weight by at most lr a step
    assert (seen[True] - seen[False]).abs().max() < 22 * 4e-3
    assert (seen[True] - seen[False]).abs().mean() < 4e-3
    monkeypatch.setattr(recipes, "knows_bfloat16", lambda device: False)
    assert torch.equal(weights(train(FULL, digits, quiet=True)[0]), seen[False])


@pytest.mark.parametrize("recipe", [RECIPES["plain"], CONDITIONAL], ids=["vae", "conditional"])
def test_a_likelihood_in_bfloat16_is_nearly_the_exact_one(recipe, digits, monkeypatch):
    monkeypatch.setattr(recipes, "knows_bfloat16", lambda device: True)
    model, _ = train(recipe, digits, epochs=1, quiet=True)
    x, y = fixed_binarization(digits.images[:100]).flatten(1), digits.labels[:100]
    y = y if recipe.model is ConditionalVAE else None
    found = likelihood_of(model, x, 100, y)
    exact = nll(model, x, (1, 50, 100), y=y, rows_at_once=1000)
    for k in (1, 50, 100):  # from the same draws; the README's figures are quoted to 0.01
        assert found[k].mean == pytest.approx(exact[k].mean, abs=0.01)
        assert found[k].se == pytest.approx(exact[k].se, abs=0.01)
        assert found[k].mean != exact[k].mean
    monkeypatch.setattr(recipes, "knows_bfloat16", lambda device: False)
    assert likelihood_of(model, x, 100, y)[100] == exact[100]


# ---- pixels are those that the likelihood speaks of ----

GREY = Digits(torch.full((200, 8, 8), 128, dtype=torch.uint8), torch.arange(200) % 10, "a test")
GAUSSIAN = Recipe(
    config={"latent": 2, "hidden": [16], "likelihood": "gaussian"},
    epochs=100,
    batch_size=100,
    lr=2e-2,
)


def seen_by(recipe, digits, monkeypatch, cls):
    """All images that the model's loss gets in an epoch."""
    images, plain = [], cls.loss

    def loss(self, x, *rest, **options):
        images.append(x.detach().clone())
        return plain(self, x, *rest, **options)

    monkeypatch.setattr(cls, "loss", loss)
    train(recipe, digits, epochs=1, quiet=True)
    return torch.cat(images)


@pytest.mark.parametrize("model", [VAE, ConditionalVAE])
def test_a_gaussian_learns_grey_images_as_they_are(model):
    """Were they drawn black or white, the variance would be that of a coin, 0.25."""
    trained, _ = train(replace(GAUSSIAN, model=model), GREY, quiet=True)
    assert trained.pixels.log_variance.exp() < 1e-3  # 200 steps in: it goes on falling
    y = (GREY.labels[:20],) if model is ConditionalVAE else (20,)
    torch.testing.assert_close(
        trained.generate(*y), torch.full((20, 64), 128 / 255), rtol=0, atol=0.05
    )


@pytest.mark.parametrize("model", [VAE, ConditionalVAE, AutoEncoder])
def test_only_a_gaussian_and_an_auto_encoder_get_grey_pixels(model, digits, monkeypatch):
    grey = digits.images.flatten(1) / 255
    config = {"latent": 2, "hidden": [8]}
    gaussian = (
        config if model is AutoEncoder else config | {"likelihood": "gaussian", "variance": 0.1}
    )
    with monkeypatch.context() as patch:
        seen = seen_by(Recipe(model, gaussian), digits, patch, model)
    # in another order: each image once, as it is
    torch.testing.assert_close(seen.sum(1).sort().values, grey.sum(1).sort().values)
    torch.testing.assert_close(seen.unique(), grey.unique())
    if model is not AutoEncoder:
        with monkeypatch.context() as patch:
            seen = seen_by(Recipe(model, config), digits, patch, model)
        assert seen.unique().tolist() == [0, 1]
        # 33,000 draws: 0.003
        assert float(seen.mean()) == pytest.approx(float(grey.mean()), abs=0.01)


def test_an_auto_encoder_has_a_recipe_too(digits):
    _, run = train(Recipe(AutoEncoder, {"latent": 4, "hidden": [32]}, lr=1e-2), digits, quiet=True)
    assert run.finished
    first, last = run.history["loss"][0], run.history["loss"][-1]
    assert last < 0.8 * first


def test_a_checkpoint_of_other_pixels_is_of_another_run(digits, tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    recipe = Recipe(config={"latent": 2, "hidden": [8], "likelihood": "gaussian"})
    made = []

    class FirstEdition(recipes.Run):
        def __init__(self, data, *, hyperparameters, **options):
            made.append(hyperparameters)
            told = {k: v for k, v in hyperparameters.items() if k != "pixels"}
            super().__init__(data, hyperparameters=told, **options)

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "Run", FirstEdition)
        train(recipe, digits, epochs=1, checkpoint=path, quiet=True)
    with pytest.raises(CheckpointError, match="pixels is grey here but None in the file"):
        train(recipe, digits, epochs=2, checkpoint=path, quiet=True)
    assert "pixels" in made[0]


def test_a_gaussians_products_are_not_rounded(monkeypatch):
    """Its errors are divided by a variance, maybe tiny: bfloat16's rounding would be many nats."""
    monkeypatch.setattr(recipes, "knows_bfloat16", lambda device: True)
    model, _ = train(GAUSSIAN, GREY, epochs=20, quiet=True)
    x = GREY.pixels(slice(20))
    found = likelihood_of(model, x, 50)
    exact = nll(model, x, (1, 50), rows_at_once=1000, progress=False)
    assert found[50] == exact[50]
    seen = []
    train(
        GAUSSIAN,
        GREY,
        epochs=1,
        quiet=True,
        picture_every=1e-9,
        picture=lambda run: seen.append(torch.get_float32_matmul_precision()),
    )
    assert set(seen) == {"highest"}


def test_a_conditional_model_has_as_many_labels_as_the_digits(digits):
    few = Digits(digits.images[:60], digits.labels[:60] % 4, "a test")
    model, _ = train(replace(CONDITIONAL, batch_size=30), few, epochs=1, quiet=True)
    assert model.config.labels == 4
    assert train(CONDITIONAL, digits, epochs=0, quiet=True)[0].config.labels == 10
    told = replace(CONDITIONAL, config=FULL.config | {"labels": 7})
    assert train(told, few, epochs=0, quiet=True)[0].config.labels == 7
    with pytest.raises(ValueError, match="Labels must be from 0 to 6, but these range from 0 to 9"):
        train(told, digits, epochs=0, quiet=True)
    game = GANRecipe({"latent": 3, "hidden": [4, 5], "labels": 7})
    with pytest.raises(ValueError, match="Labels must be from 0 to 6, but these range from 0 to 9"):
        train(game, digits, epochs=0, quiet=True)


@pytest.mark.parametrize(
    "recipe", [FULL, GANRecipe({"latent": 3, "hidden": [4, 5]})], ids=["vae", "gan"]
)
def test_weights_of_the_rows_reach_the_run(recipe, digits, monkeypatch):
    given = []

    class Recorded(recipes.Run):
        def __init__(self, data, *, weights=None, **options):
            given.append(weights)
            super().__init__(data, **options)

    monkeypatch.setattr(recipes, "Run", Recorded)
    weights_of_rows = torch.rand(520)
    train(recipe, digits, epochs=1, quiet=True, weights=weights_of_rows)
    train(recipe, digits, epochs=1, quiet=True)
    assert given[0] is weights_of_rows
    assert given[1] is None


def test_what_a_recipe_cannot_train_is_named(digits):
    with pytest.raises(ValueError, match=r"Data of type Tensor has no labels. Pass Digits"):
        train(FULL, digits.images)
    with pytest.raises(
        ValueError, match=r"train expects a recipe, such as RECIPES\['plain'\], but got str"
    ):
        train("plain", digits)
    with pytest.raises(ValueError, match="NoneType"):
        train(FULL, None)
    for warmup in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"warmup, .*must be from 0 to 1"):
            replace(FULL, warmup=warmup)
    for name in ("d_steps", "r1_every", "batch_size"):
        with pytest.raises(
            ValueError, match="at least 2, and d_steps and r1_every must be positive integers"
        ):
            GANRecipe(**{name: 2.5})


# ---- the command line ----


@pytest.fixture
def command(digits, monkeypatch, tmp_path, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["recipes", *words])
        recipes.main()
        return capsys.readouterr().out

    def mnist(train=True, device=None):
        part = slice(400) if train else slice(400, 430)
        return Digits(digits.images[part].to(device), digits.labels[part].to(device), "UCI")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipes, "mnist", mnist)
    return run


def test_the_command_writes_a_file_that_says_what_it_is(command, digits, tmp_path):
    said = command("plain", "--epochs", "1.5", "--seed", "3", "--k", "60", "--device", "cpu")
    path = tmp_path / "plain.safetensors"
    # what it resumes from is gone
    assert [p.name for p in tmp_path.iterdir()] == ["plain.safetensors"]
    facts = describe(path)
    assert (facts["recipe"], facts["seed"], facts["epochs"]) == ("plain", 3, 1.5)
    assert facts["torch"] == torch.__version__
    assert "plain.safetensors" in said
    assert str(facts["test_nll"]) in said
    again = load_model(path)
    x = fixed_binarization(digits.images[400:430]).flatten(1)
    found = likelihood_of(again, x, 60)
    assert facts["test_nll"] == {str(k): list(found[k]) for k in (1, 50, 60)}
    trained, _ = train(
        RECIPES["plain"], Digits(digits.images[:400], digits.labels[:400], ""), 3, 1.5, quiet=True
    )
    assert torch.equal(weights(again), weights(trained).half().float())


def test_the_command_for_a_conditional_model(command, digits, monkeypatch, tmp_path):
    monkeypatch.setitem(recipes.RECIPES, "plain", CONDITIONAL)
    path = tmp_path / "there.safetensors"
    command("plain", "--out", str(path), "--k", "50", "--device", "cpu")
    x, y = fixed_binarization(digits.images[400:430]).flatten(1), digits.labels[400:430]
    found = likelihood_of(load_model(path), x, 50, y)
    facts = describe(path)
    assert facts["epochs"] == 2
    assert facts["test_nll"] == {str(k): list(found[k]) for k in (1, 50)}


def test_the_command_for_a_gan(command, monkeypatch, tmp_path):
    """What is saved is what is measured, and resumed from if it breaks off."""
    small = GANRecipe({"latent": 3, "hidden": [4, 5]}, epochs=2, batch_size=50, r1=0.1)
    monkeypatch.setitem(recipes.RECIPES, "gan", small)
    asked = []

    def judge(images, real, referee):
        asked.append((images, real))
        return {"frechet": 3.0}

    monkeypatch.setattr(recipes, "judge", judge)
    command("gan", "--seed", "2", "--device", "cpu")
    path = tmp_path / "gan.safetensors"
    assert [p.name for p in tmp_path.iterdir()] == ["gan.safetensors"]
    facts = describe(path)
    assert (facts["recipe"], facts["seed"], facts["epochs"]) == ("gan", 2, 2)
    assert facts["test"] == {"frechet": 3.0}
    again = load_model(path)
    torch.manual_seed(2)
    assert torch.equal(asked[0][0], again.generate(30))
    assert asked[0][1].shape == (30, 64)


def test_the_command_measures_a_gaussian_on_grey_images(command, digits, monkeypatch, tmp_path):
    recipe = Recipe(
        config={"latent": 3, "hidden": [8], "likelihood": "gaussian"}, epochs=1, batch_size=50
    )
    monkeypatch.setitem(recipes.RECIPES, "plain", recipe)
    command("plain", "--k", "50", "--device", "cpu")
    path = tmp_path / "plain.safetensors"
    x = digits.pixels(slice(400, 430))
    found = nll(load_model(path), x, (1, 50), rows_at_once=1000, progress=False)
    assert describe(path)["test_nll"] == {str(k): list(found[k]) for k in (1, 50)}


def test_the_command_without_likelihood(command, tmp_path):
    command("plain", "--epochs", "0.3", "--k", "0", "--device", "cpu")
    assert "test_nll" not in describe(tmp_path / "plain.safetensors")


def test_the_command_loses_nothing(command, monkeypatch, tmp_path):
    """What was trained is saved before it is measured; what was not saved yet is resumed from."""

    def fail(*args, **kwargs):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "save_model", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            command("plain", "--epochs", "1", "--k", "0", "--device", "cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["plain.run.safetensors"]
    assert "Resumed from" in command("plain", "--epochs", "1", "--k", "0", "--device", "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "nll", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            command("plain", "--epochs", "1", "--k", "5", "--device", "cpu")
    assert load_model(tmp_path / "plain.safetensors").config.latent == 20


def test_the_command_for_the_classifier(command, monkeypatch, tmp_path):
    asked = {}

    def train_classifier(digits, **options):
        asked.update(options, n=len(digits))
        return Classifier().eval()

    def mnist(train=True, device=None):
        n = 5 if train else 4
        return Digits(torch.zeros(n, 28, 28, dtype=torch.uint8), torch.arange(n), "nowhere")

    monkeypatch.setattr(recipes, "train_classifier", train_classifier)
    monkeypatch.setattr(recipes, "mnist", mnist)
    command("classifier", "--epochs", "2", "--seed", "1", "--device", "cpu")
    assert (asked["seed"], asked["epochs"], asked["n"]) == (1, 2, 5)
    facts = describe(tmp_path / "classifier.safetensors")
    assert facts["epochs"] == 2
    # four equal images of four digits: one guess for all
    assert facts["test_accuracy"] in (0, 0.25)
    assert isinstance(load_model(tmp_path / "classifier.safetensors"), Classifier)


def test_a_command_that_is_stopped_goes_on_and_writes_nothing_half_done(
    command, monkeypatch, tmp_path
):
    whole = tmp_path / "whole.safetensors"
    command("plain", "--epochs", "2", "--k", "0", "--device", "cpu", "--out", str(whole))
    loss, calls = VAE.loss, []

    def struck(*args, **options):
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return loss(*args, **options)

    monkeypatch.setattr(VAE, "loss", struck)
    with pytest.raises(
        SystemExit, match=r"plain.safetensors is not written yet: run the same command again"
    ):
        command("plain", "--epochs", "2", "--k", "0", "--device", "cpu")
    assert {p.name for p in tmp_path.iterdir()} == {"whole.safetensors", "plain.run.safetensors"}
    assert "Resumed" in command("plain", "--epochs", "2", "--k", "0", "--device", "cpu")
    assert {p.name for p in tmp_path.iterdir()} == {"whole.safetensors", "plain.safetensors"}
    assert torch.equal(weights(load_model("plain.safetensors")), weights(load_model(whole)))


def test_no_epochs_by_command(command):
    command("plain", "--epochs", "0", "--k", "0", "--device", "cpu")
    assert describe("plain.safetensors")["epochs"] == 0


def test_an_option_of_the_run_outdoes_the_recipe(digits, monkeypatch):
    monkeypatch.setattr(recipes, "knows_bfloat16", lambda device: True)
    exact = weights(train(replace(FULL, autocast=False), digits, quiet=True)[0])
    assert torch.equal(weights(train(FULL, digits, quiet=True, autocast=False)[0]), exact)


@pytest.mark.parametrize(
    "words",
    [
        ["worst"],
        [],
        ["plain", "--epochs", "many"],
        *(["classifier", "--epochs", n] for n in ("0", "1.5")),
    ],
)
def test_commands_that_cannot_be(command, words, capsys):
    with pytest.raises(SystemExit):
        command(*words)
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--k", "-1", "--k must be a non-negative integer, but got -1"),
        ("--epochs", "-1", "--epochs must be a finite, non-negative number, but got -1"),
        ("--epochs", "nan", "--epochs must be a finite, non-negative number, but got nan"),
        ("--epochs", "inf", "--epochs must be a finite, non-negative number, but got inf"),
    ],
)
def test_numbers_in_a_command_that_cannot_be(command, option, value, says, capsys):
    with pytest.raises(SystemExit):
        command("plain", option, value)
    assert says in capsys.readouterr().err


def test_products_are_quick_while_training_and_as_before_afterwards():
    digits = Digits(
        torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8), torch.zeros(64).long(), "a test"
    )
    seen = []

    def look(model):
        seen.append(torch.get_float32_matmul_precision())
        if len(seen) > 1:
            raise RuntimeError("in the middle")
        return {"none": 0.0}

    before = torch.get_float32_matmul_precision()
    recipe = replace(RECIPES["plain"], batch_size=32)
    train(recipe, digits, epochs=1, quiet=True, evaluate=look)
    assert seen == ["medium"]
    assert torch.get_float32_matmul_precision() == before == "highest"
    with pytest.raises(RuntimeError, match="in the middle"):
        train(recipe, digits, epochs=1, quiet=True, evaluate=look)
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("folder", "folder is a folder. Pass the name of a file in it."),
        ("plain/model", "plain/model (Not a directory). Choose another file name."),
        ("", ". is a folder. Pass the name of a file in it."),
    ],
)
@pytest.mark.parametrize("recipe", ["plain", "gan", "classifier"])
def test_a_file_that_cannot_be_written_is_said_before_training(
    command, recipe, out, says, tmp_path, capsys
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("")
    with pytest.raises(SystemExit) as stopped:
        command(recipe, "--out", out, "--device", "cpu")
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_the_home_folder_in_out(command, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    command("plain", "--epochs", "1", "--k", "0", "--device", "cpu", "--out=~/net.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["home"]
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["net.safetensors"]


def test_the_checkpoint_of_another_run_is_not_cleared_away(command, tmp_path, monkeypatch):
    """A second run of another seed took the name while this one trained."""
    other = tmp_path / "plain.run.safetensors"
    real = recipes.train

    def train_beside(*arguments):
        model, run = real(*arguments)
        # where it would have been saved
        run.checkpoint.rename(tmp_path / "plain.run_2.safetensors")
        run._file.path = tmp_path / "plain.run_2.safetensors"
        other.write_bytes(b"the other's")
        return model, run

    monkeypatch.setattr(recipes, "train", train_beside)
    command("plain", "--epochs", "1", "--k", "0", "--device", "cpu")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "plain.run.safetensors",
        "plain.safetensors",
    ]
    assert other.read_bytes() == b"the other's"
