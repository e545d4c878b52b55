"""What tests/test_distributed.py has torchrun start: the command of recipes, on few small images.

The environment says what else. RESULT: the file for the outcome of the command's training. OTHERS:
the file for the outcomes of more trainings, which come first; "": none. KILL: "1 9" has process 1
killed in the ninth step of the command; "": none is.
"""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from course_lib import recipes
from course_lib.data import Digits
from course_lib.models.autoregressive_vae import AutoregressiveVAE
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.models.vae import VAE
from course_lib.training import Run, checkpoints, copies
from course_lib.training.distributed import shared
from course_lib.training.processes import group, is_first

EPOCH = 6  # steps: 253 rows, 50 at a time, and the last 3, which two processes cannot halve
SMALL = recipes.Recipe(  # every ingredient, in a small network
    config={"latent": 3, "hidden": [16], "activation": "silu"},
    epochs=3,
    batch_size=50,
    lr=4e-3,
    cosine=True,
    warmup=0.4,
    mean_image=True,
)
RECIPES = {
    "plain": SMALL,
    "conditional": replace(SMALL, model=ConditionalVAE, beta=3.0),
    "autoregressive": replace(SMALL, model=AutoregressiveVAE, config=SMALL.config | {"before": 12}),
    "odd batch": replace(SMALL, batch_size=51, cosine=False, decay=0.5),
}


def digits(train: bool = True) -> Digits:
    """253 random images for training, 20 for the test, darker where the label is higher."""
    n = 253 if train else 20
    generator = torch.Generator().manual_seed(n)
    labels = torch.arange(n) % 10
    grey = torch.randint(0, 256, (n, 8, 8), generator=generator)
    images = grey * (10 - labels).view(n, 1, 1) // 10
    return Digits(images.byte(), labels, "a test", [str(label) for label in range(10)])


def outcome(model: torch.nn.Module, run: Run) -> dict[str, Any]:
    """What is to be compared."""
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return {"weights": weights, "history": run.history, "evaluations": run.evaluations}


def train_all(folder: Path) -> dict[str, dict[str, Any]]:
    """The outcomes of RECIPES and of a step of one's own."""
    found = {}
    for name, recipe in RECIPES.items():
        model, run = recipes.train(
            recipe,
            digits(),
            seed=1,
            checkpoint=folder / f"{name}.run",
            evaluate=lambda model: {"bias": float(model.decoder.bias.mean())},
            report_every=1,
            quiet=True,
        )
        found[name] = outcome(model, run)
    found["own step"] = train_own_step()
    return found


def train_own_step() -> dict[str, Any]:
    """Batches of a single row: of two processes, one has none."""
    torch.manual_seed(5)
    model = VAE(shape=(8, 8), latent=2, hidden=[4])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    run = Run((digits().pixels()[:10],), batch_size=1, model=model, optimizer=optimizer)

    def step(batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        losses = model.loss(*batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        return losses

    with shared(step, run) as one:
        run.train(one, 2, report_every=1, quiet=True)
    return outcome(model, run)


def count_writes() -> list[Path]:
    """A list of the checkpoints that this process is yet to write."""
    written = []
    write_run = checkpoints.write_run

    def counted(path: Path, *rest: Any) -> Path:
        written.append(path)
        return write_run(path, *rest)

    checkpoints.write_run = counted
    return written


def kill_in_step(rank: int, step: int) -> None:
    """Have the process of this rank killed, as the system would, in the middle of its step."""
    loss = VAE.loss
    calls = []

    def deadly(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == step and dist.get_rank() == rank:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(*arguments, **options)

    VAE.loss = deadly


def keep_result(path: Path) -> None:
    """Keep the outcome of the command's training: its own file holds weights of half the bits."""
    train = recipes.train

    def kept(*arguments: Any, **options: Any) -> Any:
        model, run = train(*arguments, **options)
        if is_first():
            torch.save(outcome(model, run), path)
        return model, run

    recipes.train = kept


def main() -> None:
    recipes.mnist = digits
    recipes.RECIPES["plain"] = SMALL
    with group():
        if os.environ["OTHERS"]:
            written = count_writes()
            path = Path(os.environ["OTHERS"])
            own = {"written": written, **train_all(path.parent)}
            of_all = [None] * dist.get_world_size()
            dist.all_gather_object(of_all, own)
            if is_first():
                torch.save(of_all, path)
        if os.environ["KILL"]:
            rank, step = os.environ["KILL"].split()
            kill_in_step(int(rank), int(step))
        # a checkpoint after each epoch of the command
        copies.COPY_SECONDS = copies.SAVE_SECONDS = 0.0
        keep_result(Path(os.environ["RESULT"]))
        recipes.main()


if __name__ == "__main__":
    main()
