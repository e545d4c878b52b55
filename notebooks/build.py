"""Run the notebooks and save them in a form that does not depend on the machine.

python notebooks/build.py run [NB ...]      pair, run in full, and save outputs (default: all)
python notebooks/build.py run --fast NB     run with small budgets, and save nothing
python notebooks/build.py draw [NB ...]     run in full, and save only the figures for slides
python notebooks/build.py sync [NB ...]     only pair: copy changes between .ipynb and source/*.py
python notebooks/build.py link [NB ...]     link the first use of each glossary term
python notebooks/build.py check [NB ...]    list the problems of the saved notebooks
python notebooks/build.py address OWNER/NAME    write the repository's address into all files
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
MAX_BYTES = 1_500_000  # GitHub does not render much larger notebooks
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
# The metadata that a cell has in both twins: its tags, its role in a slide show and what a slide
# shows of the cell (see tools/slides/deck.py), its role in an assignment, and the alternative text
# of its pictures (one text, or a list with one text per picture).
CELL_METADATA = ("tags", "slideshow", "slide", "nbgrader", "alt")
SHORTEST_ALT = 40  # characters; a shorter text only names the picture and does not describe it
STATED_MEMORY = re.compile(r"(\d+\.\d) GB of memory")
MEMORY_TOLERANCE = 0.3  # GB; the imports alone vary by this much between builds of PyTorch
CLAIMS = "What the lecture said, what we measured"
EXERCISES = "Exercises"

# A long base64 string is a picture, in which a path may occur by chance.
BASE64 = re.compile(r"[A-Za-z0-9+/=]{200,}")
MACHINE = re.compile(
    r"(?<![\w.])/(?:home|root|Users|work|tmp|private|opt|mnt|content)/|[A-Za-z]:\\+Users|site-packages"
)
ADDRESS_IN_MEMORY = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")


class NotebookError(Exception):
    """Raised with one sentence that says what is wrong with a notebook, and in which cell."""


# ---------------------------------------------------------------- files


def source_of(notebook: Path) -> Path:
    """Return the path of the text twin of notebooks/NN_name.ipynb."""
    return notebook.parent / "source" / f"{notebook.stem}.py"


def all_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the paths of all chapters, in order, that exist as a notebook, as text, or as both."""
    names = {p.stem for p in folder.glob("[0-9][0-9]_*.ipynb")}
    names |= {p.stem for p in (folder / "source").glob("[0-9][0-9]_*.py")}
    return [folder / f"{name}.ipynb" for name in sorted(names)]


def choose(wanted: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the named notebooks, or all notebooks if no name is given.

    A name may be "04", "04_vae" or "notebooks/04_vae.ipynb".
    """
    there = all_notebooks(folder)
    if not wanted:
        return there
    chosen = []
    for name in wanted:
        stem = Path(name).stem
        found = [p for p in there if p.stem == stem or p.stem.startswith(f"{stem}_")]
        if not found:
            raise NotebookError(
                f"no notebook begins with {name!r}; "
                f"the notebooks are {', '.join(p.stem for p in there)}"
            )
        chosen += found
    return chosen


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that an interruption leaves the old file intact."""
    write_whole(path, text.encode())


def save(nb: NotebookNode, path: Path) -> None:
    nbformat.validate(nb)
    write_atomically(path, nbformat.writes(nb) + "\n")


# ---------------------------------------------------------------- pairing


def read_source(path: Path) -> NotebookNode:
    return tidy(jupytext.read(path, fmt=PY_FORMAT))


def as_source(nb: NotebookNode) -> str:
    """Convert a notebook to py:percent text with CELL_METADATA but no outputs or other metadata."""
    bare = nbformat.from_dict(nb)
    kept = ",".join((*CELL_METADATA, "-all"))
    bare.metadata = nbformat.from_dict(
        {"jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": kept}}
    )
    return jupytext.writes(bare, fmt=PY_FORMAT)


def tidy(nb: NotebookNode) -> NotebookNode:
    """Remove metadata that depend on the machine or the run: timings, versions, view settings."""
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
    """Return the part of a cell's metadata that both twins have."""
    return {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}


def pairable(nb: NotebookNode) -> list[tuple[Any, ...]]:
    """Return what both twins must share: each cell's type, text, tags and other CELL_METADATA."""
    cells = []
    for cell in nb.cells:
        tags = tuple(cell.metadata.get("tags", ()))
        others = {key: value for key, value in carried(cell).items() if key != "tags"}
        cells.append((cell.cell_type, cell.source.rstrip(), tags, *([others] if others else [])))
    return cells


def pictures(cell: NotebookNode) -> list[NotebookNode]:
    """Return the outputs of a cell that contain a picture."""
    return [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]


def figures(cell: NotebookNode) -> list[str]:
    """Return the pictures of a cell, in base64."""
    return [output.data["image/png"] for output in pictures(cell)]


def describe_pictures(nb: NotebookNode) -> None:
    """Copy a cell's alternative text to its pictures, where nbconvert and MyST look for it."""
    for cell in nb.cells:
        alt = cell.metadata.get("alt", [])
        texts = [alt] if isinstance(alt, str) else alt
        for output, text in zip(pictures(cell), texts, strict=False):
            output.metadata.setdefault("image/png", nbformat.from_dict({}))["alt"] = text


def text_sha256(nb: NotebookNode) -> str:
    """Return a hash of what both twins share.

    The notebook stores the hash of the last shared version.
    """
    return hashlib.sha256(json.dumps(pairable(nb), sort_keys=True).encode()).hexdigest()


def agree(nb: NotebookNode) -> None:
    nb.metadata["course"] = nbformat.from_dict(
        nb.metadata.get("course", {}) | {"text_sha256": text_sha256(nb)}
    )


def pair(notebook: Path) -> NotebookNode:
    """Synchronize the two twins and return the notebook, with its cell ids and outputs.

    The twin that has changed since the last synchronization wins. Modification times are not
    reliable, because JupyterLab also saves a notebook whose cells were only run. Raises
    NotebookError if both have changed.
    """
    source, there = source_of(notebook), notebook.exists()
    nb = tidy(nbformat.read(notebook, as_version=4)) if there else read_source(source)
    text = read_source(source) if source.exists() else None
    agreed = nb.metadata.get("course", {}).get("text_sha256")
    if text is not None and pairable(text) != pairable(nb):
        if agreed not in (None, text_sha256(nb), text_sha256(text)):
            raise NotebookError(
                f"{notebook.stem}: both {notebook.name} and source/{source.name} "
                "have changed since they were last synchronized. "
                "Copy the changes from one into the other, then move the first away"
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
    """Return a hash of the code that produced the outputs.

    Prose can be changed without running the code.
    """
    code = [c.source.rstrip() for c in nb.cells if c.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


# ---------------------------------------------------------------- running


def kernel_settings() -> Config:
    """Return settings that encrypt kernel messages; otherwise each kernel prints a warning."""
    settings = Config()
    settings.KernelManager.transport_encryption = "auto"
    return settings


def execute(
    nb: NotebookNode, name: str, folder: Path, fast: bool = False, kept: Path | None = None
) -> tuple[float, Meter]:
    """Run all cells in a new kernel and store the outputs in nb.

    kept: the folder for the projector's version of each figure; None to draw no such versions.
    Returns the time in seconds and the memory used.
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
        raise NotebookError(f"{name}: a cell ran for more than {CELL_SECONDS} s") from error
    except DeadKernelError as error:
        why = "the kernel died, perhaps because it ran out of memory"
        raise NotebookError(f"{name}: {why}") from error
    except CellExecutionError as error:
        number = next(
            i
            for i, cell in enumerate(nb.cells)
            if any(o.output_type == "error" for o in cell.get("outputs", []))
        )
        raise NotebookError(f"{where(name, nb, number)} failed:\n{error}") from error
    return time.perf_counter() - start, meter


def machine() -> str:
    """Describe the machine without its name."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores, {device}"


def clean_outputs(nb: NotebookNode) -> None:
    """Reduce each output to what a reader without a kernel can see."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            output.get("metadata", {}).pop(WIDGET_VIEW, None)
            data = output.get("data", {})
            # without a kernel, the widget view would only add "Error displaying widget"
            if "image/png" in data or "text/html" in data:
                data.pop(WIDGET_VIEW, None)
            if "image/png" in data:
                data["image/png"] = packed(data["image/png"])
            if output.output_type == "stream":  # keep only the last state of a progress bar
                output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)


def packed(png: str) -> str:
    """Compress a PNG in base64 without loss, if possible."""
    smaller = io.BytesIO()
    try:
        Image.open(io.BytesIO(base64.b64decode(png))).save(smaller, "PNG", optimize=True)
    except (ValueError, UnidentifiedImageError):  # not a picture, which is reported elsewhere
        return png
    found = base64.b64encode(smaller.getvalue()).decode()
    return min(png, found, key=len)


def run(notebook: Path, fast: bool = False) -> tuple[float, Meter]:
    """Pair, run, tidy, check and save one notebook.

    fast: run with small budgets and save nothing.
    """
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
            saved_as = {png: packed(png) for png in on_slides}
            projector.store(kept, saved_as, projector.folder_of(notebook))
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
    """Return the pictures of all cells that appear in the slide show, in base64."""
    return [png for cell in nb.cells if cell.metadata.get("slideshow") for png in figures(cell)]


def draw(notebook: Path) -> int:
    """Run a notebook in full and store only the pictures for a projector.

    The saved notebook is not changed. Each new picture is assigned to the saved picture in the same
    position. Returns the number of pictures.
    """
    nb = pair(notebook)
    saved = shown_on_slides(nb)
    with tempfile.TemporaryDirectory() as work:
        execute(nb, notebook.stem, notebook.parent, kept=Path(work))
        drawn = shown_on_slides(nb)
        if len(drawn) != len(saved):
            raise NotebookError(
                f"{notebook.stem}: the run has {len(drawn)} pictures, "
                f"but the saved notebook has {len(saved)}"
            )
        saved_as = dict(zip(drawn, saved, strict=True))
        return projector.store(Path(work), saved_as, projector.folder_of(notebook))


def link(notebook: Path) -> None:
    """Link the first use of each glossary term, in the text twin and in the notebook."""
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
    """Return a Markdown cell as it is written in a text twin."""
    return "\n".join(f"# {line}".rstrip() for line in markdown.split("\n"))


# ---------------------------------------------------------------- checking


def where(name: str, nb: NotebookNode, number: int) -> str:
    first = next(iter(nb.cells[number].source.strip().splitlines()), "")
    return f"{name}, cell {number} ({first[:60]!r})"


def output_text(output: NotebookNode) -> str:
    """Return all text of an output, without pictures."""
    parts = [output.get("text", ""), *output.get("traceback", [])]
    for kind, value in output.get("data", {}).items():
        if not kind.startswith("image/") or kind == "image/svg+xml":
            parts.append(value if isinstance(value, str) else json.dumps(value))
    return BASE64.sub("", "\n".join(parts))


def output_problems(name: str, nb: NotebookNode) -> list[str]:
    """List what readers should not see in saved outputs, with the cells."""
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
                problems.append(
                    f"{here}: shows a path of this machine: {text[found.start() :][:60]}"
                )
            elif ADDRESS_IN_MEMORY.search(text):
                problems.append(f"{here}: shows a memory address, which differs in every run")
            if WIDGET_VIEW in output.get("data", {}):
                problems.append(
                    f"{here}: shows a widget without a picture for readers without a kernel"
                )
    size = len(nbformat.writes(nb).encode())
    if size > MAX_BYTES:
        big = max(range(len(nb.cells)), key=lambda i: len(json.dumps(nb.cells[i])))
        problems.append(
            f"{name}: {size:,} bytes, more than {MAX_BYTES:,}; "
            f"the largest cell is {where(name, nb, big)}"
        )
    return problems


def code_lines(cell: NotebookNode) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def has_import(cell: NotebookNode) -> bool:
    found = ast.walk(ast.parse(cell.source))
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in found)


def opening(nb: NotebookNode) -> str:
    """Return the prose at the beginning of a chapter: its aims, its duration, and what it needs."""
    return " ".join(c.source for c in nb.cells[:3] if c.cell_type == "markdown")


def style_problems(name: str, nb: NotebookNode) -> list[str]:
    """List the standards of the course's notebooks that are not met, one sentence each."""
    rules = [*size_rules(nb), *import_rules(nb), *order_rules(name, nb)]
    broken = [f"{name}: {sentence}" for holds, sentence in rules if not holds]
    return [*broken, *long_cells(name, nb)]


Rule = tuple[bool, str]  # whether the rule is met, and the message if it is not


def size_rules(nb: NotebookNode) -> Iterator[Rule]:
    """Yield the rules for the number of cells, their length, and the share of prose."""
    count = len(nb.cells)
    code = [c for c in nb.cells if c.cell_type == "code"]
    share = (count - len(code)) / max(count, 1)
    median = statistics.median(code_lines(c) for c in code) if code else 0
    yield count >= 20, f"{count} cells; a chapter must have at least 20, with one idea in each"
    yield (
        0.25 <= share <= 0.70,
        f"{share:.0%} of the cells are prose; the share should be between 25% and 70%",
    )
    yield median <= 9, f"the median code cell has {median} lines; one idea should need 5 to 8"


def long_cells(name: str, nb: NotebookNode) -> list[str]:
    """List code cells that are too long for one idea, and empty cells."""
    problems = []
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and code_lines(cell) > 20:
            problems.append(f"{where(name, nb, i)}: {code_lines(cell)} lines of code, more than 20")
        if not cell.source.strip():
            problems.append(f"{name}: cell {i} is empty")
    return problems


def import_rules(nb: NotebookNode) -> Iterator[Rule]:
    """Yield the rules for imports, the parameters cell, and small budgets."""
    code = [c for c in nb.cells if c.cell_type == "code"]
    imports = [c for c in code if "imports" in c.metadata.get("tags", [])]
    parameters = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    elsewhere = [c for c in code if c not in imports + parameters]
    yield imports == code[: len(imports)], "the cells tagged `imports` must be the first code cells"
    yield (
        not any(map(has_import, elsewhere)),
        "a cell contains an import but is not tagged `imports`",
    )
    yield (
        bool(imports) and "google.colab" in imports[0].source,
        "the first cell tagged `imports` must install the course on Colab",
    )
    yield (
        len(parameters) == 1,
        f"cells tagged `parameters`: {len(parameters)}; there must be exactly one",
    )
    yield (
        not any(re.search(r"\bFAST\b|COURSE_FAST", c.source) for c in elsewhere),
        "small budgets must be set only in the parameters cell",
    )


def order_rules(name: str, nb: NotebookNode) -> Iterator[Rule]:
    """Yield the rules for a chapter's beginning, and for the claims and exercises at its end."""
    cells = nb.cells
    yield (
        bool(cells) and cells[0].source.startswith("# "),
        "the first cell must begin with the title (# …)",
    )
    stated = "it states the aims, the duration, and what is needed"
    for phrase in ("you will be able to", "minute", "need"):
        yield phrase in opening(nb).lower(), f"the opening must contain {phrase!r}: {stated}"
    claims, exercises = headed(nb, CLAIMS), headed(nb, EXERCISES)
    yield len(claims) == 1, f"there must be exactly one heading {CLAIMS!r}"
    yield len(exercises) == 1, f"there must be exactly one heading {EXERCISES!r}"
    code = [i for i, c in enumerate(cells) if c.cell_type == "code"]
    checks = [i for i in code if re.search(r"^checks\.\w+\(", cells[i].source, re.M)]
    yield (
        2 <= len(checks) <= 4,
        f"cells that check an exercise: {len(checks)}; there must be two to four",
    )
    for i in checks:
        before = [cells[j] for j in code if j < i]
        is_stub = bool(before) and "raise NotImplementedError" in before[-1].source
        here = where(name, nb, i)
        yield is_stub, f"the code cell before {here} must be a stub that raises NotImplementedError"
    if claims and exercises:
        yield claims[0] > len(cells) / 3, "the claims table must be at the end"
        yield all(i > exercises[0] for i in checks), f"the checks must be below {EXERCISES!r}"


def headed(nb: NotebookNode, words: str) -> list[int]:
    """Return the indices of the cells with a heading that begins with these words."""
    return [
        i
        for i, cell in enumerate(nb.cells)
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if re.match(r"#{1,3} ", line) and line.lstrip("# ").strip().startswith(words)
    ]


def alt_problems(name: str, nb: NotebookNode) -> list[str]:
    """List pictures without a description as alternative text, and pictures with the same text."""
    if not any("alt" in cell.metadata for cell in nb.cells):
        return []
    problems, seen = [], set()
    for i, cell in enumerate(nb.cells):
        for output in pictures(cell):
            text = output.metadata.get("image/png", {}).get("alt", "")
            if len(text) < SHORTEST_ALT:
                problems.append(
                    f"{where(name, nb, i)}: a picture has no alternative text that describes it"
                )
            elif text in seen:
                problems.append(
                    f"{where(name, nb, i)}: two pictures have the same alternative text"
                )
            seen.add(text)
    return problems


def memory_problems(name: str, nb: NotebookNode) -> list[str]:
    """Check the memory of the last full run against the limit and against the opening."""
    memory = nb.metadata.get("course", {}).get("memory")
    if memory is None:  # the system does not report the peak memory of another process
        return []
    problems = []
    if memory["beyond_imports"] > limit_of(name):
        beyond = f"{memory['beyond_imports']:.1f} GB of memory in addition to its imports"
        problems.append(f"{name}: uses {beyond}; the limit is {limit_of(name):.1f} GB")
    stated = STATED_MEMORY.search(opening(nb))
    if stated is None:
        problems.append(
            f"{name}: the opening does not state the memory that the chapter needs, in GB"
        )
    elif abs(float(stated[1]) - memory["peak"]) > MEMORY_TOLERANCE:
        problems.append(
            f"{name}: the opening states {stated[1]} GB of memory, "
            f"but the run used {memory['peak']:.1f} GB"
        )
    return problems


def check(notebook: Path) -> list[str]:
    """List all problems of a saved notebook. The list is empty if there are none."""
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
        problems.append(f"{name}: not a valid notebook: {error.message}")
    ids = [c.get("id") for c in nb.cells]
    if None in ids or len(set(ids)) < len(ids):
        problems.append(f"{name}: every cell must have a unique id")
    if pairable(read_source(source)) != pairable(nb):
        problems.append(
            f"{name}: notebook and source/{source.name} differ; run `make run NB={name[:2]}`"
        )
    if nb.metadata.get("course", {}).get("source_sha256") != source_sha256(nb):
        problems.append(f"{name}: the outputs are from older code; run `make run NB={name[:2]}`")
    if nb != tidy(nbformat.from_dict(nb)) or "widgets" in nb.metadata:
        problems.append(f"{name}: contains metadata of a run; run `make run NB={name[:2]}`")
    if not any(c.get("outputs") for c in nb.cells):
        problems.append(f"{name}: has no outputs; run `make run NB={name[:2]}`")
    return problems


# ---------------------------------------------------------------- the address


def repository_address(root: Path = ROOT) -> str:
    """Return the URL of the repository from pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def set_address(new: str, root: Path = ROOT) -> list[Path]:
    """Replace the current address by owner/name in all files. Returns the changed files."""
    has_form = re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]*)/[A-Za-z0-9._-]+", new)
    if not has_form or new.endswith(".git"):
        raise NotebookError(f"the address must have the form owner/name, not {new!r}")
    old = repository_address(root).removeprefix("https://github.com/")
    pattern = re.compile(rf"(?<![\w.-]){re.escape(old)}(?![\w-])")
    files = [root / name for name in ("README.md", "CITATION.cff", "pyproject.toml")]
    files += sorted((root / "notebooks" / "source").glob("*.py"))
    files += sorted((root / "docs").glob("*.md"))  # the site reads the address from pyproject.toml
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
            if fresh:  # the address does not affect outputs
                nb.metadata["course"]["source_sha256"] = source_sha256(nb)
            if nb.metadata.get("course", {}).get("text_sha256") == agreed:
                agree(nb)  # the address is changed in both twins
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
    parser.add_argument(
        "--fast", action="store_true", help="run with small budgets and save nothing"
    )
    options = parser.parse_intermixed_args(arguments)  # so that --fast can be before or after NB
    failed = False
    try:
        if options.action == "address":
            if len(options.names) != 1:
                raise NotebookError("give exactly one address, in the form owner/name")
            for path in set_address(options.names[0]):
                print(f"Changed {path.relative_to(ROOT)}.")
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
                print("\n".join(problems) or f"{notebook.stem}: no problems")
                failed |= bool(problems)
        except NotebookError as error:
            print(error)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
