"""A GAN in the course's loop: the same by hand and after an interruption, and stopped by a NaN."""

import signal
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib import recipes
from course_lib.data import Digits, uci_digits
from course_lib.models.gan import GAN, update_discriminator, update_generator
from course_lib.recipes import train
from course_lib.training import copies as copying
from course_lib.training import gan as gan_training
from course_lib.training.checkpoints import CheckpointError
from course_lib.training.gan import GANRecipe
from course_lib.training.history import NotFinite
from course_lib.training.loop import Run

SMALL = {"latent": 3, "hidden": [4, 5], "activation": "silu"}
RECIPE = GANRecipe(SMALL, epochs=2, batch_size=32, r1=0.1, r1_every=2)


@pytest.fixture(scope="module")
def digits():
    some = uci_digits(train=True, quiet=True)
    return Digits(some.images[:200], some.labels[:200], some.source)


def weights(module):
    return torch.cat(
        [p.detach().flatten() for p in module.state_dict().values() if p.is_floating_point()]
    )


def test_training_is_what_its_recipe_says(digits):
    """Six steps by hand: rates on half a cosine, R1 doubled in every other step, the average."""
    gan, run = train(RECIPE, digits, seed=3, epochs=1, quiet=True)
    assert run.step == 7  # 200 rows, 32 at a time: six whole batches and one of 8
    assert not gan.training

    images = digits.images.flatten(1)
    torch.manual_seed(3)
    mine = GAN(shape=[8, 8], **SMALL)
    mine.start_at(images.float().mean(0) / 255)
    g = torch.optim.Adam(mine.generator.parameters(), 1e-3, (0.0, 0.99))
    d = torch.optim.Adam(mine.discriminator.parameters(), 1e-3, (0.0, 0.99))
    by_hand = Run(images, batch_size=32, seed=3, mine=mine, g=g, d=d)

    def update(x):
        i = by_hand.step
        for optimizer in (g, d):
            optimizer.param_groups[0]["lr"] = (
                1e-3 * 0.5 * float(1 + torch.cos(torch.tensor(torch.pi * i / 7)))
            )
        terms = update_discriminator(mine, x / 255, d, r1=0.2 if i % 2 == 0 else 0.0)
        terms |= update_generator(mine, len(x), g)
        mine.update_ema(min(0.998, (1 + i) / (10 + i)))
        return terms

    log = by_hand.train(update, 1, quiet=True)
    # float32 in another order (channels last, fused Adam), and Adam divides small gradients by
    # small: some weights take another step of 1e-3 then;
    # which ones depends on where in memory the numbers lie
    apart = (weights(gan) - weights(mine)).abs()
    assert (apart < 2e-4).float().mean() > 0.98
    assert apart.max() < 7e-3
    assert run.history.keys() == {"step", "discriminator", "D of real", "D of fake", "generator"}
    for name in log:
        assert run.history[name] == pytest.approx(log[name], rel=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"config": SMALL | {"labels": 10}},
        {"config": SMALL | {"spectral": True}},
        {"loss": "wasserstein", "penalty": 10.0, "r1": 0.0, "d_steps": 3},
        {"autocast": True, "cosine": False},
    ],
    ids=["plain", "conditional", "spectral", "wasserstein", "autocast"],
)
def test_resumed_is_bit_equal(change, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "knows_bfloat16", lambda device: True)
    recipe = replace(RECIPE, **change)
    whole, run = train(recipe, digits, quiet=True)
    saved, whole_log = weights(whole), run.history

    class PowerCut(Exception):
        pass

    def cut(gan):
        raise PowerCut

    file = tmp_path / "gan.run.safetensors"
    with pytest.raises(PowerCut):
        train(recipe, digits, checkpoint=file, evaluate=cut, evaluate_every=0.7, quiet=True)
    monkeypatch.setattr(copying, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(copying, "COPY_SECONDS", 0.0)
    with pytest.raises(PowerCut):
        train(
            recipe,
            digits,
            checkpoint=file,
            evaluate=cut,
            evaluate_every=1.2,
            report_every=1,
            quiet=True,
        )
    assert file.exists()
    again, run = train(recipe, digits, checkpoint=file, quiet=True)
    assert torch.equal(weights(again), saved)
    assert run.step == whole_log["step"][-1]


def test_the_average_s_decay_is_no_number_that_a_graph_would_keep(digits, monkeypatch):
    """In a graph's replays run.step, a Python number, is the capture's; so it stands still here."""
    decays = []

    def frozen(run, update, epochs, **options):
        for _ in range(12):
            update((digits.images[:32].flatten(1),))
        assert run.step == 0

    monkeypatch.setattr(Run, "train", frozen)
    monkeypatch.setattr(GAN, "update_ema", lambda gan, decay: decays.append(float(decay)))
    train(replace(RECIPE, ema_decay=0.5), digits)
    assert decays == pytest.approx([min(0.5, (1 + i) / (10 + i)) for i in range(12)], rel=1e-6)


def test_an_interrupt_loses_nothing(digits, tmp_path, monkeypatch, capsys):
    whole, _ = train(RECIPE, digits, quiet=True)
    plain, calls = GAN.update_ema, []

    def interrupted(gan, decay):
        calls.append(decay)
        if len(calls) == 8:
            signal.raise_signal(signal.SIGINT)
        plain(gan, decay)

    with monkeypatch.context() as patch:
        patch.setattr(GAN, "update_ema", interrupted)
        file = tmp_path / "gan.run.safetensors"
        _, run = train(RECIPE, digits, checkpoint=file, quiet=True)
    assert run.step == 8
    assert "Interrupted" in capsys.readouterr().out
    again, _ = train(RECIPE, digits, checkpoint=file, quiet=True)
    assert torch.equal(weights(again), weights(whole))
    with pytest.raises(CheckpointError, match=r"r1 is 0\.7 here"):
        train(replace(RECIPE, r1=0.7), digits, checkpoint=file, quiet=True)


def test_a_nan_stops_the_game_at_the_last_good_step(digits):
    wild = replace(RECIPE, lr_discriminator=1e20, cosine=False)
    with pytest.raises(NotFinite, match="was undone"):
        train(wild, digits, quiet=True)


def test_pictures_and_evaluations_come_every_few_updates(digits):
    seen, drawn = [], []

    def look(gan):
        seen.append(gan.generate(2).shape)
        return {"ink": float(gan.generate(10).mean())}

    def draw(run):
        drawn.append(run.step)
        return plt.figure()

    gan, run = train(
        RECIPE,
        digits,
        evaluate=look,
        evaluate_every=0.5,
        picture=draw,
        picture_every=2 / 7,
        quiet=True,
    )
    assert drawn == [2, 4, 6, 8, 10, 12, 14]
    assert run.evaluations["step"] == [4, 8, 12, 14]
    assert seen[0] == (2, 64)
    unseen, _ = train(RECIPE, digits, quiet=True)
    assert torch.equal(weights(gan), weights(unseen))  # who looks does not change the game


def test_d_takes_its_steps_on_different_images(digits, monkeypatch):
    import course_lib.training.gan as module

    fed, plain = [], update_discriminator

    def spy(gan, x, *args, **options):
        fed.append((x.clone(), options["y"].clone()))
        return plain(gan, x, *args, **options)

    monkeypatch.setattr(module, "update_discriminator", spy)
    recipe = replace(RECIPE, config=SMALL | {"labels": 10}, d_steps=3, batch_size=20)
    _, run = train(recipe, digits, epochs=1, quiet=True)
    assert run.step == 4  # 200 rows, 60 at a time, the last 20
    x = torch.cat([part for part, _ in fed])
    assert len(x) == 200
    assert len(x.unique(dim=0)) == len(digits.images.flatten(1).unique(dim=0))  # every digit once
    lookup = {
        tuple(row.tolist()): int(y)
        for row, y in zip(digits.images.flatten(1), digits.labels, strict=True)
    }
    assert all(
        lookup[tuple((row * 255).round().byte().tolist())] == int(label)
        for part, y in fed
        for row, label in zip(part, y, strict=True)
    )


@pytest.mark.parametrize(
    ("rest", "parts"), [(13, [4, 3, 3, 3]), (8, [2, 2, 2, 2]), (7, [7]), (5, [5])]
)
def test_no_step_is_on_a_single_image(rest, parts, digits, monkeypatch):
    """Batch norm knows no variance of one."""
    fed, plain = [], update_discriminator

    def spy(gan, x, *args, **options):
        fed.append(len(x))
        return plain(gan, x, *args, **options)

    monkeypatch.setattr(gan_training, "update_discriminator", spy)
    some = Digits(digits.images[: 16 + rest], digits.labels[: 16 + rest], digits.source)
    recipe = replace(RECIPE, config=SMALL | {"hidden": [4, 5, 6]}, batch_size=4, d_steps=4)
    train(recipe, some, epochs=1, quiet=True)
    assert fed == [4, 4, 4, 4, *parts]


def test_autocast_may_be_given_as_an_option(digits, monkeypatch):
    given = []
    monkeypatch.setattr(recipes, "knows_bfloat16", lambda device: True)
    monkeypatch.setattr(
        Run, "train", lambda run, update, epochs, **options: given.append(options["autocast"])
    )
    for recipe, options in (
        (False, {}),
        (True, {}),
        (False, {"autocast": True}),
        (True, {"autocast": False}),
    ):
        train(replace(RECIPE, autocast=recipe), digits, **options)
    assert given == [False, True, True, False]


def test_the_mean_image_is_where_g_begins(digits):
    mean = digits.images.flatten(1).float().mean(0) / 255
    for on in (True, False):
        gan, _ = train(replace(RECIPE, mean_image=on), digits, epochs=0, quiet=True)
        far = float((gan.generate(50).mean(0) - mean).abs().mean())
        assert (far < 0.05) is on


def test_unknown_losses_are_named(digits):
    for wrong in ({"d_steps": 0}, {"r1_every": 0}, {"batch_size": 1}):
        with pytest.raises(
            ValueError, match="at least 2, and d_steps and r1_every must be positive integers"
        ):
            GANRecipe(**wrong)
    with pytest.raises(ValueError, match="below 1, but got 2"):
        GANRecipe(ema_decay=2.0)
    with pytest.raises(
        ValueError,
        match=r"Data of type Tensor has no labels. Pass Digits\(images, labels, source\)",
    ):
        train(GANRecipe(), torch.zeros(10, 784))
    with pytest.raises(ValueError, match="Unknown loss 'hinge'"):
        train(replace(RECIPE, loss="hinge"), digits, quiet=True)
