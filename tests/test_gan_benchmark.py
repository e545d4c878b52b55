"""The comparison of the GAN's training loops, on a few digits."""

import importlib.util
from pathlib import Path

import torch

from course_lib.data import Digits

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gan.py"


def test_both_loops_are_timed_in_turns():
    spec = importlib.util.spec_from_file_location("benchmark_of_the_gan", SCRIPT)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (400, 28, 28), dtype=torch.uint8, generator=generator)
    digits = Digits(images, torch.arange(400) % 10, "a test")
    seconds = benchmark.pace(digits, rounds=2, part=0.5)
    assert set(seconds) == set(benchmark.LOOPS)
    assert all(len(each) == 2 and min(each) > 0 for each in seconds.values())
