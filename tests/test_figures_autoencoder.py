"""The figures of "From auto-encoder to VAE" show their input, and its VAE is the package's."""

import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from course_lib.figures import autoencoder as figures
from course_lib.models.networks import mlp
from course_lib.models.vae import VAE

SOURCE = Path(__file__).parent.parent / "notebooks" / "source" / "03_autoencoder_to_vae.py"


def heights(ax, kind: str) -> list[list[float]]:
    """The y-values of all lines in this kind's colour."""
    return [
        list(line.get_ydata()) for line in ax.lines if line.get_color() == figures.COLOURS[kind]
    ]


def two_cases(seeds: int = 3, positions: int = 11) -> dict[str, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return {
        case: {"AE": 1 + torch.rand(seeds, positions), "VAE": torch.rand(seeds, positions)}
        for case in "ab"
    }


def test_rows_of_images_have_their_names():
    figure = figures.image_rows({"true": torch.rand(4, 9), "AE": torch.rand(4, 9)})
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["true", "AE"]
    assert all(len(ax.images) == 1 for ax in figure.axes)


def test_the_line_has_a_curve_for_every_seed_and_a_cross_fade():
    lines = two_cases()
    figure = figures.distance_along_line(lines, torch.linspace(0, 2, 11))
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    for ax, case in zip(figure.axes, lines, strict=True):
        assert len(ax.lines) == 1 + 2 * 3
        torch.testing.assert_close(torch.tensor(heights(ax, "AE")), lines[case]["AE"])
    assert "cross-fade" in [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]


def test_the_worst_place_of_every_seed_is_a_point():
    lines = two_cases()
    ax = figures.worst_places(lines, torch.linspace(0, 2, 11)).axes[0]
    found = torch.tensor(heights(ax, "VAE"))  # (cases, seeds)
    torch.testing.assert_close(
        found, torch.stack([kinds["VAE"].amax(1) for kinds in lines.values()])
    )
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b"]


def test_the_worst_places_have_a_line_for_the_cross_fade_and_one_for_holes():
    """The second line stands where the chapter's `count_holes` begins to speak of a hole."""
    ax = figures.worst_places(two_cases(), torch.linspace(0, 2, 11)).axes[0]
    heights = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert heights["cross-fade"] == [2, 2]
    assert heights["half of it: a hole above"] == [1, 1]
    assert "fade.max() / 2" in SOURCE.read_text(encoding="utf-8")


def test_the_band_of_shuffled_orders_lies_between_their_extremes():
    scales, shuffled = torch.logspace(-1, 0, 5), 1 + torch.rand(5, 7)
    ax = figures.order_costs(scales, torch.linspace(0, 1, 5), shuffled, neighbours=0.5).axes[0]
    band = torch.tensor(ax.collections[0].get_paths()[0].vertices[:, 1])
    assert float(band.max()) == pytest.approx(float(shuffled.max()))
    assert heights(ax, "VAE") == [pytest.approx([0, 0.25, 0.5, 0.75, 1])]
    # the chapter prints its factor for noise of half the distance between neighbours
    assert [list(line.get_xdata()) for line in ax.lines if line.get_linestyle() == ":"] == [
        [0.25, 0.25]
    ]


def test_every_estimator_has_a_curve():
    variances = {"reparameterization": [1.0, 1.0], "score function": [2.0, 200.0]}
    ax = figures.estimator_variances((1, 10), variances, xlabel="dimensions").axes[0]
    assert [list(line.get_ydata()) for line in ax.lines] == list(variances.values())
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "10"]


def test_the_noise_has_a_curve_for_every_seed_and_one_label_a_name():
    noise = {"VAE": [[1.0, 0.5], [1.0, 0.6]], "VAE without KL": [[1.0, 0.1], [1.0, 0.2]]}
    ax = figures.noise_histories(noise).axes[0]
    assert heights(ax, "VAE without KL") == noise["VAE without KL"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(noise)
    assert ax.get_yscale() == "log"


def test_the_green_curve_is_blue_minus_red():
    sigma = torch.linspace(-1, 1, 5)
    ax = figures.price_of_noise(sigma, sigma.exp(), 1 + sigma, 0.0).axes[0]
    blue, red, green, minimum = (torch.as_tensor(line.get_ydata()) for line in ax.lines)
    torch.testing.assert_close(green, blue - red)
    assert float(minimum) == 0


def test_penalized_codes_stand_beside_the_free_ones():
    free = torch.linspace(-1, 1, 5)
    ax = figures.penalized_codes(free, {"L2": free / 2, "L1": free * 0}).axes[0]
    assert [line.get_label() for line in ax.lines] == ["no penalty", "L2", "L1"]
    torch.testing.assert_close(torch.as_tensor(ax.lines[1].get_ydata()), free / 2)


def test_codes_stand_below_their_prior():
    z, codes = torch.linspace(-1, 1, 5), torch.tensor([0.1, 0.2, 0.4])
    figure = figures.codes_and_prior(z, {"normal": z.exp()}, {"normal": codes})
    density, ticks = figure.axes[0].lines
    assert list(ticks.get_xdata()) == pytest.approx(codes.tolist())
    assert max(ticks.get_ydata()) < min(density.get_ydata())


def test_the_chapter_s_vae_is_the_package_s():
    """The class that the student writes gives the package's loss for the same weights and noise."""
    text = SOURCE.read_text(encoding="utf-8")
    cell = r"^# %%(?! \[markdown\])[^\n]*\n((?:variance|def reparameterize).*?)(?=^# %%)"
    definitions = re.findall(cell, text, re.M | re.S)
    chapter = {"torch": torch, "nn": nn, "mlp": mlp}
    for definition in definitions:
        exec(definition, chapter)
    student = chapter["VAE"](pixels=9, hidden=5, latent=2)
    package = VAE(
        shape=(3, 3),
        latent=2,
        hidden=(5,),
        activation="tanh",
        likelihood="gaussian",
        variance=chapter["variance"],
    )
    package.encoder.layers.load_state_dict(student.encoder.state_dict())
    package.decoder.layers.load_state_dict(student.decoder.state_dict())
    x = torch.rand(6, 9)
    found = []
    for model in (student, package):
        torch.manual_seed(0)
        found.append(
            {name: float(value.detach()) for name, value in model.loss(x, beta=0.7).items()}
        )
    constant = 9 / 2 * math.log(2 * math.pi * chapter["variance"])  # the chapter leaves it out
    found[1]["loss"] -= constant
    found[1]["reconstruction"] -= constant
    assert found[0] == pytest.approx(found[1], rel=1e-5)  # float32 keeps seven digits


def test_a_figure_is_shown_once_as_the_value_of_its_cell():
    """Pyplot would show an open figure a second time, at the end of the cell."""
    before = plt.get_fignums()
    figures.penalized_codes(torch.linspace(-1, 1, 5), {"L2": torch.zeros(5)})
    assert plt.get_fignums() == before
