"""The inner loops of the ToyGAN widget against NumPy, in WebAssembly and in plain JavaScript."""

import base64
import os
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from course_lib.widgets import ToyGAN

pytest_plugins = ["browser"]

ROOT = Path(__file__).parent.parent
TOOL = runpy.run_path(str(ROOT / "tools" / "compile_kernels.py"))
BOTH = pytest.mark.parametrize("compiled", [True, False], ids=["WebAssembly", "plain JavaScript"])

# Copies arrays into a workspace, calls functions on them, and returns all arrays. A call is
# [name, ...arguments], where a string is the address of an array. Infinity and NaN travel as words.
RUN = """(m, { arrays, calls, compiled }) => {
    if (!compiled) globalThis.WebAssembly = undefined;
    const { Workspace } = m.toyGanKernels();
    const space = new Workspace(10000);
    const made = {};
    for (const [name, values] of Object.entries(arrays)) {
        made[name] = space.array(values.length);
        made[name].set(values.map(Number));
    }
    const address = (one) => (typeof one === "string" ? made[one].byteOffset : one);
    const returned = calls.map(([name, ...given]) => space[name](...given.map(address)) ?? null);
    const plain = (values) => Array.from(values, (v) => (Number.isFinite(v) ? v : String(v)));
    const after = {};
    for (const [name, values] of Object.entries(made)) after[name] = plain(values);
    return { after, returned, isCompiled: space.buffer.byteLength % 65536 === 0 };
}"""


def in_words(value):
    return str(float(value)).replace("inf", "Infinity").replace("nan", "NaN")


def run(javascript, compiled, calls, **arrays):
    """Return the arrays after the calls, and what the calls returned."""
    argument = {
        "arrays": {name: [in_words(v) for v in np.ravel(a)] for name, a in arrays.items()},
        "calls": calls,
        "compiled": compiled,
    }
    found = javascript(ToyGAN.source, RUN, argument)
    assert found["isCompiled"] == compiled
    words = {"Infinity": np.inf, "-Infinity": -np.inf, "NaN": np.nan}
    after = {
        name: np.array([words.get(v, v) for v in values], float)
        for name, values in found["after"].items()
    }
    return after, found["returned"]


@BOTH
@pytest.mark.parametrize(("units", "inputs"), [(1, 1), (1, 5), (5, 1), (4, 6), (7, 3)])
def test_the_products_of_a_layer_are_those_of_numpy(javascript, compiled, units, inputs):
    rng, room = np.random.default_rng(units), 24
    w, bases = rng.normal(size=(units, inputs)), rng.normal(size=units)
    h = rng.normal(size=(inputs, room))
    z, start = rng.normal(size=(units, room)), rng.normal(size=(units, inputs))
    after, _ = run(
        javascript,
        compiled,
        [
            ["weigh", "w", inputs, 1, "bases", units, inputs, "h", "forward", room],
            ["weigh", "w", 1, inputs, 0, inputs, units, "z", "backward", room],
            ["outer", "gradient", units, inputs, "z", "h", room],
        ],
        w=w,
        bases=bases,
        h=h,
        z=z,
        gradient=start,
        forward=np.zeros((units, room)),
        backward=np.zeros((inputs, room)),
    )
    # sums of at most 24 products of numbers near 1, in another order
    near = {"rtol": 0, "atol": 1e-13}
    np.testing.assert_allclose(
        after["forward"].reshape(units, room), w @ h + bases[:, None], **near
    )
    np.testing.assert_allclose(after["backward"].reshape(inputs, room), w.T @ z, **near)
    np.testing.assert_allclose(after["gradient"].reshape(units, inputs), start + z @ h.T, **near)
    for name, before in {"w": w, "bases": bases, "h": h, "z": z}.items():
        np.testing.assert_array_equal(after[name], before.ravel())


@BOTH
def test_tanh_is_as_accurate_as_numpys(javascript, compiled):
    edges = [0.0, 1e-9, -1e-300, 19.9, 20.0, 25.0, -710.0, 1e300, np.inf, -np.inf, np.nan, 0.1734]
    z = np.concatenate([np.linspace(-22, 22, 4004), edges])
    after, _ = run(javascript, compiled, [["tanh", "z", len(z)]], z=z)
    # 1 − 2/(e^v + 1) rounds to multiples of 1e-16, and e^v is exact to 2e-15
    np.testing.assert_allclose(after["z"], np.tanh(z), rtol=0, atol=2e-15)


@BOTH
def test_sums_and_derivatives_are_those_of_numpy(javascript, compiled):
    rng, n = np.random.default_rng(0), 40
    v, h, before, slope = rng.normal(size=(4, n))
    after, returned = run(
        javascript,
        compiled,
        [
            ["flatten", "v", "h", "flat", n],
            ["bend", "up", "h", "before", "slope", n],
            ["total", "v", n],
        ],
        v=v,
        h=h,
        before=before,
        slope=slope,
        up=v,
        flat=np.zeros(n),
    )
    np.testing.assert_allclose(after["flat"], v * (1 - h**2), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(after["up"], v - 2 * h * before * slope, rtol=1e-14, atol=1e-14)
    assert returned[2] == pytest.approx(v.sum(), abs=1e-13)


def test_the_compiled_code_belongs_to_its_source():
    line = TOOL["LINE"].search(TOOL["TARGET"].read_text(encoding="utf-8"))
    assert line["hash"] == TOOL["source_hash"](), "Run tools/compile_kernels.py."


@pytest.mark.skipif(
    not (os.environ.get("COURSE_THOROUGH") and shutil.which("npx")),
    reason="needs npm and the network",
)
def test_the_compiler_writes_the_same_code_again():
    line = TOOL["LINE"].search(TOOL["TARGET"].read_text(encoding="utf-8"))
    assert base64.b64decode(line["code"]) == TOOL["compiled"]()


def test_both_versions_have_the_same_functions():
    script = TOOL["TARGET"].read_text(encoding="utf-8")
    exported = re.findall(
        r"^export function (\w+)", TOOL["SOURCE"].read_text(encoding="utf-8"), re.MULTILINE
    )
    assert f"return {{ {', '.join(exported)} }};" in script
