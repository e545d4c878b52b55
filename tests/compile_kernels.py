"""Compile every kernel of the package for a GPU that is not there; print what it needs, as JSON.

The public functions run on small tensors of a CPU, but each launch only compiles: for compute
capability 9.0 (an H100 or H200), down to machine code by the assembler that comes with Triton.
`test_kernels.py` runs this file in a process of its own, without TRITON_INTERPRET.
"""

import importlib
import json
import pkgutil
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from course_lib import kernels
from course_lib.kernels import backend

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
compiled: dict[str, list[dict[str, int]]] = {}


class AbsentGPU:
    """What Triton asks of a driver before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def needs(code: Any) -> dict[str, int]:
    """Registers of a thread, and bytes of its stack (slow memory, mostly for want of registers)."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code.asm["cubin"])
        file.flush()
        command = [str(TOOLS / "cuobjdump"), "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert usage, said
    return {"registers": int(usage[1]), "stack": int(usage[2])}


def only_compile(kernel: JITFunction, grid: tuple[int, ...]) -> Any:
    """In place of `kernel[grid]`, which launches."""

    def launch(*arguments: Any, **settings: Any) -> None:
        code = kernel.warmup(*arguments, grid=grid, **settings)
        compiled.setdefault(kernel.__name__, []).append(needs(code))

    return launch


def launch_all() -> None:
    logits, x = torch.zeros(2, 784, requires_grad=True), torch.zeros(2, 784)
    mu, logvar = (torch.zeros(2, 20, requires_grad=True) for _ in range(2))
    for target in (x, x.byte()):
        terms = kernels.fused_elbo(logits, target, mu, logvar)
        (terms.reconstruction + terms.kl).sum().backward()
    kernels.fused_reparameterize(mu, logvar, 1).sum().backward()
    images = torch.zeros(3, 784, dtype=torch.uint8)
    kernels.gather_binarize(images, torch.tensor([2, 0]), 1)
    k = 300  # with three components, loops would be unrolled that are loops in earnest
    weights = torch.full((k,), 1 / k)
    kernels.mixture_statistics(torch.zeros(9, 20), weights, torch.zeros(k, 20), torch.ones(k, 20))
    for dim in (5, 20, 64):  # one for each of the tiles
        factors = torch.eye(dim).expand(k, dim, dim)
        kernels.full_mixture_statistics(torch.zeros(9, dim), weights, torch.zeros(k, dim), factors)


def all_kernels() -> set[str]:
    modules = [
        importlib.import_module(f"course_lib.kernels.{m.name}")
        for m in pkgutil.iter_modules(kernels.__path__)
    ]
    functions = [
        v for module in modules for v in vars(module).values() if isinstance(v, JITFunction)
    ]
    return {function.__name__ for function in functions if function.__name__.endswith("_kernel")}


if __name__ == "__main__":
    driver.set_active(AbsentGPU())
    JITFunction.__getitem__ = only_compile
    backend.which = lambda device: "Triton, which only compiles"
    launch_all()
    print(json.dumps({"compiled": compiled, "missing": sorted(all_kernels() - compiled.keys())}))
