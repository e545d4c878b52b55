"""Tests of the weights of a GAN's kinds: EM recovers each kind's share of the real images."""

import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

from course_lib import recipes
from course_lib.data import Digits
from course_lib.models.gan import GAN, GANConfig
from course_lib.recipes import RECIPES, train
from course_lib.training import checkpoints, kinds
from course_lib.training import gan as gan_training
from course_lib.training.checkpoints import load_model, save_model
from course_lib.training.gan import GANRecipe
from course_lib.training.kinds import fit_kind_weights
from course_lib.training.loop import is_saved
from course_lib.training.state import identity

SIZE = {"shape": (8, 8), "latent": 2, "hidden": (8, 8), "discriminator": (8, 8, 16)}
BARS = torch.eye(8)[:4].repeat_interleave(8, 1).reshape(4, 64)  # bar k: row k is white


class Bars(nn.Module):
    """A generator of noisy bars: kinds 0 and 1 draw the same bar, kinds 2 and 3 each their own."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(64))

    def forward(self, z):
        bars = BARS[[0, 0, 2, 3]][z[:, 2:].argmax(1)]
        return (4 * bars - 2 + 0.5 * torch.randn(len(z), 64)).to(self.bias.dtype)


def em(posteriors, row_weights=None):
    ones = torch.ones(len(posteriors)).double()
    return kinds._em(posteriors, ones if row_weights is None else row_weights)


@pytest.fixture
def gan():
    torch.manual_seed(0)
    found = GAN(**SIZE, kinds=4).eval()
    found.ema = Bars()
    return found


def digits_of(shares):
    """Bars whose kinds have the given shares."""
    counts = [round(2000 * share) for share in shares]
    z = torch.eye(4).repeat_interleave(torch.tensor(counts), 0)
    torch.manual_seed(1)
    pixels = Bars()(torch.cat([torch.zeros(len(z), 2), z], 1)).sigmoid()
    return Digits(
        (255 * pixels).byte().reshape(-1, 8, 8).detach(), torch.zeros(len(z)).long(), "bars"
    )


@pytest.mark.parametrize(
    "shares", [(0.25, 0.25, 0.25, 0.25), (0.1, 0.1, 0.7, 0.1), (0, 0.5, 0.5, 0)]
)
def test_the_weights_are_the_shares_of_the_real_images(gan, shares):
    weights = fit_kind_weights(gan, digits_of(shares))
    assert weights.shape == (4,)
    assert float(weights.sum()) == pytest.approx(1)
    # kinds 0 and 1 draw the same bar, so only the sum of their weights is determined; in the
    # logits, the standard deviation of the noise is an eighth of what a bar adds to each of its 8
    # pixels, so the classifier errs in far less than 1 % of images
    found = [float(weights[:2].sum()), *weights[2:].tolist()]
    assert found == pytest.approx([shares[0] + shares[1], *shares[2:]], abs=0.01)


def test_em_maximizes_the_likelihood():
    """For two overlapping normal densities, EM finds the same weight as a search on a fine grid."""
    torch.manual_seed(0)
    x = torch.cat([torch.randn(300), 1 + torch.randn(100)]).double()
    densities = torch.stack([(-(x**2) / 2).exp(), (-((x - 1) ** 2) / 2).exp()], 1)  # (N, 2)
    grid = torch.linspace(0, 1, 10_001).double()
    log_likelihood = [(densities @ torch.stack([w, 1 - w])).log().sum() for w in grid]
    best = grid[torch.stack(log_likelihood).argmax()]
    assert 0.6 < best < 0.9
    found = em(densities / densities.sum(1, keepdim=True))
    # the grid's step is 1e-4, and after 100 iterations, EM is closer than that to its limit
    assert float(found[0]) == pytest.approx(float(best), abs=2e-4)


def test_a_row_that_weighs_twice_counts_as_two():
    torch.manual_seed(0)
    posteriors = torch.rand(50, 3).double().softmax(1)
    twice = torch.arange(50) % 5 == 0
    found = em(posteriors, 1.0 + twice.double())
    torch.testing.assert_close(found, em(torch.cat([posteriors, posteriors[twice]])))


def test_a_seed_gives_the_same_weights_and_leaves_torchs_generator_alone(gan):
    digits = digits_of((0.1, 0.1, 0.7, 0.1))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = fit_kind_weights(gan, digits, seed=5)
    assert torch.equal(torch.rand(1), expected)
    # with several threads, sums may be computed in another order, and differences grow in 400 steps
    torch.testing.assert_close(fit_kind_weights(gan, digits, seed=5), first, rtol=0, atol=1e-3)


def test_neither_the_type_of_the_numbers_nor_switched_off_gradients_matter(gan):
    digits = digits_of((0.1, 0.1, 0.7, 0.1))
    gan.double()
    with torch.no_grad():
        weights = fit_kind_weights(gan, digits)
    assert float(weights[2]) == pytest.approx(0.7, abs=0.01)
    assert all(p.grad is None for p in gan.parameters())


def test_generate_draws_the_kinds_with_their_weights_and_training_does_not():
    torch.manual_seed(0)
    gan = GAN(**SIZE, kinds=4, kind_weights=(0, 0.5, 0.5, 0)).eval()
    gan.ema = Bars()
    white = gan.generate(1000).reshape(-1, 8, 8).mean(2).argmax(1)  # the row of each bar
    # the standard deviation of a share is 0.016
    assert float((white == 0).float().mean()) == pytest.approx(0.5, abs=0.06)
    assert float((white == 2).float().mean()) == pytest.approx(0.5, abs=0.06)
    shares = gan.noise(1000)[:, 2:].gt(0).float().mean(0)
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.06)


def test_a_gan_without_weights_draws_all_kinds_equally():
    torch.manual_seed(0)
    gan = GAN(**SIZE, kinds=4)
    shares = gan.noise(1000, weighted=True)[:, 2:].gt(0).float().mean(0)
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.06)


def test_weights_are_saved_with_the_gan(tmp_path):
    gan = GAN(**SIZE, kinds=2, kind_weights=torch.tensor([0.3, 0.7]))
    save_model(gan, tmp_path / "gan.safetensors")
    assert load_model(tmp_path / "gan.safetensors").config.kind_weights == gan.config.kind_weights


@pytest.mark.parametrize(
    "weights",
    [(0.5, 0.5, 0), (0.5, 0.4), (1.5, -0.5), (), (float("nan"), 1), 0.5, "ab", torch.eye(2)],
    ids=str,
)
def test_invalid_weights_are_rejected(weights):
    with pytest.raises(ValueError, match="kind_weights must be 2 probabilities, one for each kind"):
        GANConfig(kinds=2, kind_weights=weights)


def test_weights_without_kinds_are_rejected():
    with pytest.raises(ValueError, match=r"kind_weights requires kinds, as in GAN\(kinds=2"):
        GANConfig(kind_weights=(0.3, 0.7))


def test_a_weighted_gan_generates_no_images_if_asked_for_none():
    assert GAN(**SIZE, kinds=2, kind_weights=(0.3, 0.7)).generate(0).shape == (0, 64)


@pytest.mark.parametrize("config", [{}, {"kinds": 4, "labels": 3}])
def test_only_the_kinds_of_an_unconditional_gan_have_weights(config):
    with pytest.raises(ValueError, match="only for an unconditional GAN with kinds"):
        fit_kind_weights(GAN(**SIZE, **config), digits_of((0.25,) * 4))


def test_data_that_do_not_fit_the_gan_are_rejected_before_training(gan, digits, monkeypatch):
    monkeypatch.setattr(kinds, "_train_classifier", lambda *_: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"images of 64 pixels, .* but got 0 images"):
        fit_kind_weights(gan, digits.subset(slice(0)))
    wide = Digits(torch.zeros(3, 8, 12, dtype=torch.uint8), torch.zeros(3).long(), "wide")
    with pytest.raises(ValueError, match=r"but got 3 images of shape \(8, 12\)"):
        fit_kind_weights(gan, wide)
    with pytest.raises(ValueError, match=r"weights must have shape \(2000,\), one per row"):
        fit_kind_weights(gan, digits, torch.ones(3))


CONFIG = {"latent": 2, "hidden": (8, 8), "kinds": 4}
RECIPE = GANRecipe(CONFIG, epochs=1, weigh_kinds=True)


@pytest.fixture
def digits():
    return digits_of((0.1, 0.1, 0.7, 0.1))


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_recipe_weighs_the_kinds_of_the_trained_gan(digits):
    gan, run = train(RECIPE, digits, quiet=True)
    assert run.finished
    expected = fit_kind_weights(gan, digits).tolist()
    assert gan.config.kind_weights == pytest.approx(expected, abs=1e-3)
    equal, _ = train(replace(RECIPE, weigh_kinds=False), digits, quiet=True)
    assert equal.config.kind_weights is None


def test_rows_that_are_drawn_more_often_count_more(digits, monkeypatch):
    given = []

    def fit(gan, digits, row_weights):
        given.append(row_weights)
        return torch.ones(4) / 4

    monkeypatch.setattr(gan_training, "fit_kind_weights", fit)
    row_weights = torch.rand(len(digits))
    train(RECIPE, digits, quiet=True, weights=row_weights)
    assert torch.equal(given[0], row_weights)


def test_an_untrained_or_partly_trained_gan_is_not_weighed(digits, monkeypatch):
    monkeypatch.setattr(gan_training, "fit_kind_weights", lambda *_: pytest.fail("weighed"))
    gan, _ = train(RECIPE, digits, epochs=0, quiet=True)
    assert gan.config.kind_weights is None

    def stop(gan):
        signal.raise_signal(signal.SIGINT)
        return {}

    gan, run = train(RECIPE, digits, quiet=True, evaluate=stop, evaluate_every=0.2)
    assert run.step > 0
    assert not run.finished
    assert gan.config.kind_weights is None


def test_an_interrupt_while_the_kinds_are_weighed_loses_nothing(
    digits, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        patch.setattr(gan_training, "fit_kind_weights", interrupted)
        try:
            gan, run = train(RECIPE, digits, quiet=True)
        except KeyboardInterrupt:
            pytest.fail("the trained model was lost")
        assert run.finished
        assert not is_saved(run)
        assert gan.config.kind_weights is None
        assert capsys.readouterr().out.startswith("Interrupted after the last training step.")
        with pytest.raises(KeyboardInterrupt):
            train(RECIPE, digits, quiet=True, checkpoint=tmp_path / "gan")
    # repeating the call does not train again, but estimates the weights
    monkeypatch.setattr(gan_training.GANRecipe, "step", lambda *_: pytest.fail)
    gan, run = train(RECIPE, digits, quiet=True, checkpoint=tmp_path / "gan")
    assert run.finished
    assert gan.config.kind_weights is not None


def test_an_interrupt_without_a_saved_checkpoint_returns_the_trained_model(
    digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(gan_training, "fit_kind_weights", interrupted)
    monkeypatch.setattr(checkpoints, "write_run", full_disk)
    try:
        gan, run = train(RECIPE, digits, quiet=True, checkpoint=tmp_path / "gan")
    except KeyboardInterrupt:
        pytest.fail("the trained model was lost")
    assert run.finished
    assert not is_saved(run)
    assert gan.config.kind_weights is None
    assert "Call recipe.finish(model, digits, weights)" in capsys.readouterr().out


def test_a_command_that_is_interrupted_without_a_checkpoint_says_what_its_gan_lacks(
    digits, tmp_path, monkeypatch
):
    monkeypatch.setattr(recipes, "mnist", lambda train: digits)
    monkeypatch.setitem(recipes.RECIPES, "gan", RECIPE)
    monkeypatch.setattr(gan_training, "fit_kind_weights", interrupted)
    monkeypatch.setattr(checkpoints, "write_run", full_disk)
    out = tmp_path / "gan.safetensors"
    monkeypatch.setattr("sys.argv", ["recipes", "gan", "--out", str(out), "--device", "cpu"])
    with pytest.raises(SystemExit, match=r"is written, but recipe\.finish did not complete"):
        recipes.main()
    assert load_model(out).config.kind_weights is None


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_the_weights_are_no_reason_to_refuse_a_checkpoint():
    """Checkpoints written before `kind_weights` existed do not contain them.

    They do not affect training, so they are no part of what identifies a run.
    """
    data = (torch.zeros(2, 64, dtype=torch.uint8),)
    found = [
        identity({"gan": GAN(**SIZE, kinds=2, kind_weights=weights)}, data, None, {})
        for weights in (None, (0.3, 0.7))
    ]
    assert found[0] == found[1]
    assert found[0]["gan.kinds"] == "2"
    assert not any("kind_weights" in name for name in found[0])


def test_an_interrupted_command_says_what_to_do(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "mnist", lambda train: digits)
    monkeypatch.setitem(recipes.RECIPES, "gan", RECIPE)
    monkeypatch.setattr(gan_training, "fit_kind_weights", interrupted)
    out = tmp_path / "gan.safetensors"
    monkeypatch.setattr("sys.argv", ["recipes", "gan", "--out", str(out), "--device", "cpu"])
    with pytest.raises(SystemExit, match="is not written yet: run the same command again"):
        recipes.main()
    assert not out.exists()
    assert (tmp_path / "gan.run.safetensors").exists()


@pytest.mark.parametrize("config", [{}, {"kinds": 4, "labels": 3}])
def test_only_a_mixture_without_labels_can_be_weighed(config):
    with pytest.raises(ValueError, match="only for an unconditional GAN with kinds"):
        GANRecipe(config, weigh_kinds=True)


def test_the_course_s_gans_are_weighed():
    assert RECIPES["gan"].weigh_kinds
    assert RECIPES["gan_four_minutes"].weigh_kinds
