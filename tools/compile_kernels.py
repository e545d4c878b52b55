"""Compile the toy GAN's inner loops to WebAssembly: toy_gan_kernels.ts → toy_gan_kernels.js.

    python tools/compile_kernels.py

The compiler, AssemblyScript, comes from npm (Node.js 20 or newer) and needs the network the first
time. The compiled code is written into toy_gan_kernels.js together with the hash of its source, so
that a test can tell whether they belong together. Only whoever changes toy_gan_kernels.ts needs
this command.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from course_lib.files import write_whole

COMPILER = "assemblyscript@0.28.20"
WIDGETS = Path(__file__).resolve().parents[1] / "course_lib" / "widgets"
SOURCE = WIDGETS / "toy_gan_kernels.ts"
TARGET = WIDGETS / "toy_gan_kernels.js"
OPTIONS = ["-O3", "--noAssert", "--runtime", "stub", "--enable", "simd"]
# the memory belongs to the workspace, whose first bytes are reserved for constants
OPTIONS += ["--importMemory", "--noExportMemory", "--memoryBase", "16"]
LINE = re.compile(r'const COMPILED = "(?P<code>[^"]*)";(?: *// (?P<hash>[0-9a-f]*))?')


def source_hash() -> str:
    """Return the beginning of the hash of the source."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]


def compiled() -> bytes:
    """Compile the source. Raises subprocess.CalledProcessError if it has errors."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "kernels.wasm"
        compiler = ["npx", "--yes", "--package", COMPILER, "asc"]
        command = [*compiler, SOURCE.name, *OPTIONS, "--outFile", str(target)]
        subprocess.run(command, cwd=WIDGETS, check=True)
        return target.read_bytes()


def main() -> None:
    if shutil.which("npx") is None:
        sys.exit("The compiler comes from npm, which was not found. Install Node.js 20 or newer.")
    code = compiled()
    line = f'const COMPILED = "{base64.b64encode(code).decode()}"; // {source_hash()}'
    text = TARGET.read_text(encoding="utf-8")
    write_whole(TARGET, LINE.sub(line, text, count=1).encode())
    print(
        f"{TARGET.name} contains {len(code):,} bytes of WebAssembly, compiled from {SOURCE.name}."
    )


if __name__ == "__main__":
    main()
