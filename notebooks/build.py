"""Run the notebooks and save them in a form that is the same on every machine.

python notebooks/build.py run [NB ...]      pair, run in full, save outputs (all notebooks without NB)
python notebooks/build.py run --fast NB     run with small budgets, save nothing
python notebooks/build.py draw [NB ...]     run in full, save only its figures as slides show them
python notebooks/build.py sync [NB ...]     pair only: the one of .ipynb and source/*.py that was changed wins
python notebooks/build.py link [NB ...]     link the first use of each word of the glossary
python notebooks/build.py check [NB ...]    say what is wrong with the saved notebooks
python notebooks/build.py address OWNER/NAME    write the repository's public address everywhere
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import io
import json
import os
import re
import statistics
import sys
import tempfile
import time
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import glossary_links
import jupytext
import nbformat
import projector
from jupytext.combine import combine_inputs_with_outputs
from kernel_memory import Meter, limit_of
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image, UnidentifiedImageError
from traitlets.config import Config

from course_lib.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
MAX_BYTES = 1_500_000  # GitHub stops drawing a notebook that is much larger
CELL_SECONDS = 1800
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "name": "python",
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "pygments_lexer": "ipython3",
}
PY_FORMAT = "py:percent"
# What a cell may carry in both twins: its tags, its part in a slide show and what a slide shows of it (see
# tools/slides/deck.py), its part in an assignment, and the alternative text of its pictures (one text, or a
# list with one for each picture).
CELL_METADATA = ("tags", "slideshow", "slide", "nbgrader", "alt")
SHORTEST_ALT = 40  # characters; shorter ones only name the picture and do not say what is seen
STATED_MEMORY = re.compile(r"(\d+\.\d) GB of memory")
MEMORY_TOLERANCE = 0.3  # GB; the imports alone differ by as much between builds of PyTorch
CLAIMS = "What the lecture said, what we measured"
EXERCISES = "Exercises"

# A long run of base64 is a picture; by chance it may spell a path.
BASE64 = re.compile(r"[A-Za-z0-9+/=]{200,}")
MACHINE = re.compile(
    r"(?<![\w.])/(?:home|root|Users|work|tmp|private|opt|mnt|content)/|[A-Za-z]:\\+Users|site-packages"
)
ADDRESS_IN_MEMORY = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")


class NotebookError(Exception):
    """What is wrong with a notebook, in one sentence that names the cell."""


# ---------------------------------------------------------------- files


def source_of(notebook: Path) -> Path:
    """The text twin of notebooks/NN_name.ipynb."""
    return notebook.parent / "source" / f"{notebook.stem}.py"


def all_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """Every chapter, in order, whether it exists as a notebook, as text, or as both."""
    names = {p.stem for p in folder.glob("[0-9][0-9]_*.ipynb")}
    names |= {p.stem for p in (folder / "source").glob("[0-9][0-9]_*.py")}
    return [folder / f"{name}.ipynb" for name in sorted(names)]


def choose(wanted: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks whose names begin so ("04", "04_vae", "notebooks/04_vae.ipynb"); all, without names."""
    there = all_notebooks(folder)
    if not wanted:
        return there
    chosen = []
    for name in wanted:
        stem = Path(name).stem
        found = [p for p in there if p.stem == stem or p.stem.startswith(f"{stem}_")]
        if not found:
            raise NotebookError(
                f"no notebook begins with {name!r}; there are: {', '.join(p.stem for p in there)}"
            )
        chosen += found
    return chosen


def write_atomically(path: Path, text: str) -> None:
    """An interruption leaves the old file, never half of the new one."""
    write_whole(path, text.encode())


def save(nb: NotebookNode, path: Path) -> None:
    nbformat.validate(nb)
    write_atomically(path, nbformat.writes(nb) + "\n")


# ---------------------------------------------------------------- pairing


def read_source(path: Path) -> NotebookNode:
    return tidy(jupytext.read(path, fmt=PY_FORMAT))


def as_source(nb: NotebookNode) -> str:
    """The notebook as py:percent text with CELL_METADATA; outputs and everything else left behind."""
    bare = nbformat.from_dict(nb)
    kept = ",".join((*CELL_METADATA, "-all"))
    bare.metadata = nbformat.from_dict(
        {"jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": kept}}
    )
    return jupytext.writes(bare, fmt=PY_FORMAT)


def tidy(nb: NotebookNode) -> NotebookNode:
    """Drop what differs from machine to machine or from run to run: timings, versions, view settings."""
    course = nb.metadata.get("course")
    nb.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    if course:
        nb.metadata["course"] = course
    nb.nbformat, nb.nbformat_minor = 4, 5
    for cell in nb.cells:
        cell.metadata = nbformat.from_dict(carried(cell))
        cell.setdefault("id", uuid.uuid4().hex[:8])
    return nb


def carried(cell: NotebookNode) -> dict[str, Any]:
    """The part of a cell's metadata that both twins keep."""
    return {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}


def pairable(nb: NotebookNode) -> list[tuple[Any, ...]]:
    """What the two twins must agree on: each cell's type, text, tags and other metadata of CELL_METADATA."""
    cells = []
    for cell in nb.cells:
        tags = tuple(cell.metadata.get("tags", ()))
        others = {key: value for key, value in carried(cell).items() if key != "tags"}
        cells.append((cell.cell_type, cell.source.rstrip(), tags, *([others] if others else [])))
    return cells


def pictures(cell: NotebookNode) -> list[NotebookNode]:
    """The outputs of a cell that show a picture."""
    return [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]


def figures(cell: NotebookNode) -> list[str]:
    """The pictures of a cell, in base64."""
    return [output.data["image/png"] for output in pictures(cell)]


def describe_pictures(nb: NotebookNode) -> None:
    """Give each picture the alternative text of its cell, where nbconvert and MyST look for it."""
    for cell in nb.cells:
        alt = cell.metadata.get("alt", [])
        texts = [alt] if isinstance(alt, str) else alt
        for output, text in zip(pictures(cell), texts, strict=False):
            output.metadata.setdefault("image/png", nbformat.from_dict({}))["alt"] = text


def text_sha256(nb: NotebookNode) -> str:
    """A hash of what the twins agree on; the notebook carries that of the text on which they last agreed."""
    return hashlib.sha256(json.dumps(pairable(nb), sort_keys=True).encode()).hexdigest()


def agree(nb: NotebookNode) -> None:
    nb.metadata["course"] = nbformat.from_dict(
        nb.metadata.get("course", {}) | {"text_sha256": text_sha256(nb)}
    )


def pair(notebook: Path) -> NotebookNode:
    """Bring the two twins in step and return the notebook; cell ids and outputs stay.

    The one that was changed since they last agreed wins. Their times would not tell: JupyterLab saves a
    notebook whose cells were only run. Raises NotebookError if both were changed.
    """
    source, there = source_of(notebook), notebook.exists()
    nb = tidy(nbformat.read(notebook, as_version=4)) if there else read_source(source)
    text = read_source(source) if source.exists() else None
    agreed = nb.metadata.get("course", {}).get("text_sha256")
    if text is not None and pairable(text) != pairable(nb):
        if agreed not in (None, text_sha256(nb), text_sha256(text)):
            raise NotebookError(
                f"{notebook.stem}: both {notebook.name} and source/{source.name} were changed since they "
                "last agreed: copy what is new in one into the other, then move the one away"
            )
        newer = source.stat().st_mtime >= notebook.stat().st_mtime
        if agreed == text_sha256(nb) or (agreed is None and newer):
            nb = tidy(combine_inputs_with_outputs(text, nb, PY_FORMAT))
        else:
            text = None
    if text is None:
        source.parent.mkdir(exist_ok=True)
        write_atomically(source, as_source(nb))
    if agreed != text_sha256(nb):
        describe_pictures(nb)
        agree(nb)
        save(nb, notebook)
    return nb


def source_sha256(nb: NotebookNode) -> str:
    """A hash of the code that outputs are made from; prose may be mended without running it again."""
    code = [c.source.rstrip() for c in nb.cells if c.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


# ---------------------------------------------------------------- running


def kernel_settings() -> Config:
    """Messages to and from the kernel are encrypted; else every kernel warns that others can read them."""
    settings = Config()
    settings.KernelManager.transport_encryption = "auto"
    return settings


def execute(
    nb: NotebookNode, name: str, folder: Path, fast: bool = False, kept: Path | None = None
) -> tuple[float, Meter]:
    """Run all cells in a fresh kernel, outputs into nb; returns the seconds taken and the memory.

    kept: the folder for the projector's version of each figure; without it, none is drawn.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("COURSE_FAST", "MPLBACKEND")}
    if fast:
        environment["COURSE_FAST"] = "1"
    if kept is not None:
        environment[projector.KEPT] = str(kept)
    client = NotebookClient(
        nb,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        config=kernel_settings(),
        extra_arguments=[] if kept is None else projector.kernel_arguments(),
    )
    meter = Meter()
    client.on_cell_executed = lambda cell, **_: meter.read(client.km.provisioner.pid, cell)
    start = time.perf_counter()
    try:
        client.execute(env=environment)
    except CellTimeoutError as error:
        raise NotebookError(f"{name}: a cell ran longer than {CELL_SECONDS} s") from error
    except DeadKernelError as error:
        raise NotebookError(f"{name}: the kernel died, perhaps for lack of memory") from error
    except CellExecutionError as error:
        number = next(
            i
            for i, cell in enumerate(nb.cells)
            if any(o.output_type == "error" for o in cell.get("outputs", []))
        )
        raise NotebookError(f"{where(name, nb, number)} failed:\n{error}") from error
    return time.perf_counter() - start, meter


def machine() -> str:
    """The kind of machine, without its name."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores, {device}"


def clean_outputs(nb: NotebookNode) -> None:
    """Keep of each output what a reader without a kernel can see."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            output.get("metadata", {}).pop(WIDGET_VIEW, None)
            data = output.get("data", {})
            # beside a picture, a view of a widget that is gone would only say "Error displaying widget"
            if "image/png" in data or "text/html" in data:
                data.pop(WIDGET_VIEW, None)
            if "image/png" in data:
                data["image/png"] = packed(data["image/png"])
            if output.output_type == "stream":  # a progress bar redraws its line; the last state is enough
                output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)


def packed(png: str) -> str:
    """A PNG in base64, the same pixels in fewer bytes where that can be."""
    smaller = io.BytesIO()
    try:
        Image.open(io.BytesIO(base64.b64decode(png))).save(smaller, "PNG", optimize=True)
    except (ValueError, UnidentifiedImageError):  # it is no picture: whoever looks at it will say so
        return png
    found = base64.b64encode(smaller.getvalue()).decode()
    return min(png, found, key=len)


def run(notebook: Path, fast: bool = False) -> tuple[float, Meter]:
    """Pair, run, tidy, check and save one notebook. With fast: run with small budgets and save nothing."""
    nb = pair(notebook)
    with tempfile.TemporaryDirectory() as work:
        kept = Path(work)
        seconds, memory = execute(nb, notebook.stem, notebook.parent, fast, kept)
        on_slides = shown_on_slides(nb)
        tidy(nb)
        clean_outputs(nb)
        describe_pictures(nb)
        problems = output_problems(notebook.stem, nb)
        if problems:
            raise NotebookError("\n".join(problems))
        if not fast:
            projector.store(kept, {png: packed(png) for png in on_slides}, projector.folder_of(notebook))
    if not fast:
        nb.metadata["course"] = nbformat.from_dict(
            {"source_sha256": source_sha256(nb), "seconds": round(seconds), "machine": machine()}
        )
        if memory.peak is not None:
            nb.metadata["course"]["memory"] = {
                "peak": round(memory.peak, 2),
                "beyond_imports": round(memory.beyond_imports, 2),
            }
        agree(nb)
        save(nb, notebook)
    return seconds, memory


def shown_on_slides(nb: NotebookNode) -> list[str]:
    """The pictures of all cells that take part in the slide show, in base64."""
    return [png for cell in nb.cells if cell.metadata.get("slideshow") for png in figures(cell)]


def draw(notebook: Path) -> int:
    """Run a notebook in full, and keep of it only the pictures for a projector; returns how many there are.

    The saved notebook stays as it is. A figure stands for the one that the notebook has in its place.
    """
    nb = pair(notebook)
    saved = shown_on_slides(nb)
    with tempfile.TemporaryDirectory() as work:
        execute(nb, notebook.stem, notebook.parent, kept=Path(work))
        drawn = shown_on_slides(nb)
        if len(drawn) != len(saved):
            raise NotebookError(
                f"{notebook.stem}: the run shows {len(drawn)} pictures, the notebook {len(saved)}"
            )
        return projector.store(
            Path(work), dict(zip(drawn, saved, strict=True)), projector.folder_of(notebook)
        )


def link(notebook: Path) -> None:
    """Link the first use of each word of the glossary, in the text twin and in the notebook."""
    nb = pair(notebook)
    before = [cell.source for cell in nb.cells]
    glossary_links.link(nb, notebook.stem[:2])
    source = source_of(notebook)
    text = source.read_text(encoding="utf-8")
    for old, cell in zip(before, nb.cells, strict=True):
        if cell.source != old:
            text = text.replace(commented(old), commented(cell.source), 1)
    write_atomically(source, text)
    pair(notebook)


def commented(markdown: str) -> str:
    """How a text twin holds a cell of text."""
    return "\n".join(f"# {line}".rstrip() for line in markdown.split("\n"))


# ---------------------------------------------------------------- checking


def where(name: str, nb: NotebookNode, number: int) -> str:
    first = next(iter(nb.cells[number].source.strip().splitlines()), "")
    return f"{name}, cell {number} ({first[:60]!r})"


def output_text(output: NotebookNode) -> str:
    """All text of an output, pictures left out."""
    parts = [output.get("text", ""), *output.get("traceback", [])]
    for kind, value in output.get("data", {}).items():
        if not kind.startswith("image/") or kind == "image/svg+xml":
            parts.append(value if isinstance(value, str) else json.dumps(value))
    return BASE64.sub("", "\n".join(parts))


def output_problems(name: str, nb: NotebookNode) -> list[str]:
    """What a reader should not see in saved outputs, each with its cell."""
    problems = []
    for i, cell in enumerate(nb.cells):
        here = where(name, nb, i)
        for output in cell.get("outputs", []):
            text = output_text(output)
            if output.output_type == "error":
                problems.append(f"{here}: shows an error, {output.ename}: {output.evalue}")
            elif output.get("name") == "stderr":
                problems.append(f"{here}: writes to stderr: {text.strip()[:300]}")
            elif found := MACHINE.search(text):
                problems.append(f"{here}: shows a path of this machine: {text[found.start() :][:60]}")
            elif ADDRESS_IN_MEMORY.search(text):
                problems.append(f"{here}: shows an address in memory, which differs in every run")
            if WIDGET_VIEW in output.get("data", {}):
                problems.append(f"{here}: shows a widget that has no picture for a reader without a kernel")
    size = len(nbformat.writes(nb).encode())
    if size > MAX_BYTES:
        big = max(range(len(nb.cells)), key=lambda i: len(json.dumps(nb.cells[i])))
        problems.append(
            f"{name}: {size:,} bytes, more than {MAX_BYTES:,}; the largest is {where(name, nb, big)}"
        )
    return problems


def code_lines(cell: NotebookNode) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def has_import(cell: NotebookNode) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(cell.source)))


def opening(nb: NotebookNode) -> str:
    """The prose before the work begins: what you will be able to do, how long it takes, what it needs."""
    return " ".join(c.source for c in nb.cells[:3] if c.cell_type == "markdown")


def style_problems(name: str, nb: NotebookNode) -> list[str]:
    """The standards that every notebook of the course keeps, each broken one in a sentence."""
    rules = [*size_rules(nb), *import_rules(nb), *order_rules(name, nb)]
    broken = [f"{name}: {sentence}" for holds, sentence in rules if not holds]
    return [*broken, *long_cells(name, nb)]


Rule = tuple[bool, str]  # whether it holds, and what to say if it does not


def size_rules(nb: NotebookNode) -> Iterator[Rule]:
    """Many cells, short ones, and prose between them."""
    count = len(nb.cells)
    code = [c for c in nb.cells if c.cell_type == "code"]
    share = (count - len(code)) / max(count, 1)
    median = statistics.median(code_lines(c) for c in code) if code else 0
    yield count >= 20, f"{count} cells; a chapter has at least 20, with one idea in each"
    yield (
        0.25 <= share <= 0.70,
        f"{share:.0%} of the cells are prose; between a quarter and two thirds should be",
    )
    yield median <= 9, f"the median code cell has {median} lines; 5 to 8 fit one idea"


def long_cells(name: str, nb: NotebookNode) -> list[str]:
    """Cells of code that hold more than one idea, and cells that hold none."""
    problems = []
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and code_lines(cell) > 20:
            problems.append(f"{where(name, nb, i)}: {code_lines(cell)} lines of code, more than 20")
        if not cell.source.strip():
            problems.append(f"{name}: cell {i} is empty")
    return problems


def import_rules(nb: NotebookNode) -> Iterator[Rule]:
    """Imports at the top, one cell of parameters, and small budgets nowhere else."""
    code = [c for c in nb.cells if c.cell_type == "code"]
    imports = [c for c in code if "imports" in c.metadata.get("tags", [])]
    parameters = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    elsewhere = [c for c in code if c not in imports + parameters]
    yield imports == code[: len(imports)], "the cells tagged `imports` are the first cells of code"
    yield not any(map(has_import, elsewhere)), "a cell imports something and is not tagged `imports`"
    yield (
        bool(imports) and "google.colab" in imports[0].source,
        "the first cell tagged `imports` must install the course on Colab",
    )
    yield len(parameters) == 1, f"{len(parameters)} cells are tagged `parameters`; one is"
    yield (
        not any(re.search(r"\bFAST\b|COURSE_FAST", c.source) for c in elsewhere),
        "small budgets are set in the parameters cell only",
    )


def order_rules(name: str, nb: NotebookNode) -> Iterator[Rule]:
    """The title and what one needs at the beginning; claims and exercises, with their checks, at the end."""
    cells = nb.cells
    yield bool(cells) and cells[0].source.startswith("# "), "the first cell begins with the title (# …)"
    for phrase in ("you will be able to", "minute", "need"):
        yield (
            phrase in opening(nb).lower(),
            f"the opening does not say {phrase!r}: what you will be able to do, how long, what it needs",
        )
    claims, exercises = headed(nb, CLAIMS), headed(nb, EXERCISES)
    yield len(claims) == 1, f"one heading says {CLAIMS!r}"
    yield len(exercises) == 1, f"one heading says {EXERCISES!r}"
    code = [i for i, c in enumerate(cells) if c.cell_type == "code"]
    checks = [i for i in code if re.search(r"^checks\.\w+\(", cells[i].source, re.M)]
    yield 2 <= len(checks) <= 4, f"{len(checks)} cells check an exercise; two to four do"
    for i in checks:
        before = [cells[j] for j in code if j < i]
        yield (
            bool(before) and "raise NotImplementedError" in before[-1].source,
            f"before {where(name, nb, i)} stands a stub that raises NotImplementedError",
        )
    if claims and exercises:
        yield claims[0] > len(cells) / 3, "the claims table stands at the end"
        yield all(i > exercises[0] for i in checks), f"the checks stand below {EXERCISES!r}"


def headed(nb: NotebookNode, words: str) -> list[int]:
    """The cells that have a heading which begins with these words."""
    return [
        i
        for i, cell in enumerate(nb.cells)
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if re.match(r"#{1,3} ", line) and line.lstrip("# ").strip().startswith(words)
    ]


def alt_problems(name: str, nb: NotebookNode) -> list[str]:
    """Whether every picture says in words what is seen in it, and no two say the same."""
    if not any("alt" in cell.metadata for cell in nb.cells):
        return []
    problems, seen = [], set()
    for i, cell in enumerate(nb.cells):
        for output in pictures(cell):
            text = output.metadata.get("image/png", {}).get("alt", "")
            if len(text) < SHORTEST_ALT:
                problems.append(
                    f"{where(name, nb, i)}: a picture has no alternative text that says what is seen"
                )
            elif text in seen:
                problems.append(f"{where(name, nb, i)}: two pictures have the same alternative text")
            seen.add(text)
    return problems


def memory_problems(name: str, nb: NotebookNode) -> list[str]:
    """Whether the last full run kept to the limit, and to what the opening says of it."""
    memory = nb.metadata.get("course", {}).get("memory")
    if memory is None:  # run where nothing tells the peak of another process
        return []
    problems = []
    if memory["beyond_imports"] > limit_of(name):
        beyond = f"{memory['beyond_imports']:.1f} GB beyond its imports"
        problems.append(f"{name}: takes {beyond}; a chapter may take {limit_of(name):.1f}")
    stated = STATED_MEMORY.search(opening(nb))
    if stated is None:
        problems.append(f"{name}: the opening does not say how many GB of memory it takes")
    elif abs(float(stated[1]) - memory["peak"]) > MEMORY_TOLERANCE:
        problems.append(
            f"{name}: the opening says {stated[1]} GB of memory, but the run took {memory['peak']:.1f}"
        )
    return problems


def check(notebook: Path) -> list[str]:
    """Everything that is wrong with a saved notebook; an empty list when all is well."""
    name, source = notebook.stem, source_of(notebook)
    for path in (notebook, source):
        if not path.exists():
            return [f"{name}: {path.name} is missing; run `make run NB={name[:2]}`"]
    nb = nbformat.read(notebook, as_version=4)
    problems = (
        output_problems(name, nb)
        + style_problems(name, nb)
        + memory_problems(name, nb)
        + alt_problems(name, nb)
    )
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        problems.append(f"{name}: is not a valid notebook: {error.message}")
    ids = [c.get("id") for c in nb.cells]
    if None in ids or len(set(ids)) < len(ids):
        problems.append(f"{name}: every cell has an id of its own")
    if pairable(read_source(source)) != pairable(nb):
        problems.append(f"{name}: notebook and source/{source.name} differ; run `make run NB={name[:2]}`")
    if nb.metadata.get("course", {}).get("source_sha256") != source_sha256(nb):
        problems.append(f"{name}: the outputs come from an older text; run `make run NB={name[:2]}`")
    if nb != tidy(nbformat.from_dict(nb)) or "widgets" in nb.metadata:
        problems.append(f"{name}: carries metadata of one run; run `make run NB={name[:2]}`")
    if not any(c.get("outputs") for c in nb.cells):
        problems.append(f"{name}: carries no outputs; run `make run NB={name[:2]}`")
    return problems


# ---------------------------------------------------------------- the address


def repository_address(root: Path = ROOT) -> str:
    """The address of the repository, from the one place that holds it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def set_address(new: str, root: Path = ROOT) -> list[Path]:
    """Write owner/name for the present address in every file that shows it; returns the files changed."""
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]*)/[A-Za-z0-9._-]+", new) or new.endswith(".git"):
        raise NotebookError(f"an address looks like owner/name, not {new!r}")
    old = repository_address(root).removeprefix("https://github.com/")
    pattern = re.compile(rf"(?<![\w.-]){re.escape(old)}(?![\w-])")
    files = [root / name for name in ("README.md", "CITATION.cff", "pyproject.toml")]
    files += sorted((root / "notebooks" / "source").glob("*.py"))
    files += sorted((root / "docs").glob("*.md"))  # the site itself takes the address from pyproject.toml
    changed = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        if pattern.search(text):
            write_atomically(path, pattern.sub(new, text))
            changed.append(path)
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        fresh = nb.metadata.get("course", {}).get("source_sha256") == source_sha256(nb)
        before, agreed = pairable(nb), text_sha256(nb)
        for cell in nb.cells:
            cell.source = pattern.sub(new, cell.source)
        if pairable(nb) != before:
            if fresh:  # the address changes no output
                nb.metadata["course"]["source_sha256"] = source_sha256(nb)
            if nb.metadata.get("course", {}).get("text_sha256") == agreed:  # it is changed in both twins
                agree(nb)
            save(nb, path)
            changed.append(path)
    return changed


# ---------------------------------------------------------------- the command line


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["run", "draw", "sync", "link", "check", "address"])
    parser.add_argument("names", nargs="*", metavar="NB")
    parser.add_argument("--fast", action="store_true", help="small budgets, nothing saved")
    options = parser.parse_intermixed_args(arguments)  # so that --fast may stand before or after NB
    failed = False
    try:
        if options.action == "address":
            if len(options.names) != 1:
                raise NotebookError("give one address: owner/name")
            for path in set_address(options.names[0]):
                print(f"changed {path.relative_to(ROOT)}")
            return 0
        chosen = choose(options.names)
    except NotebookError as error:
        print(error)
        return 2
    for notebook in chosen:
        try:
            if options.action == "run":
                print(f"{notebook.stem}: running …", flush=True)
                seconds, memory = run(notebook, options.fast)
                print(f"{notebook.stem}: {seconds:.0f} s, {memory}", flush=True)
            elif options.action == "draw":
                print(f"{notebook.stem}: running …", flush=True)
                print(f"{notebook.stem}: {draw(notebook)} figures for slides", flush=True)
            elif options.action == "sync":
                pair(notebook)
            elif options.action == "link":
                link(notebook)
            else:
                problems = check(notebook)
                print("\n".join(problems) or f"{notebook.stem}: all is well")
                failed |= bool(problems)
        except NotebookError as error:
            print(error)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
