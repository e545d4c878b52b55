"""Runs commands of nbgrader one after the other, each in a process of its own.

Python takes three seconds to import nbgrader. This process imports it once and makes a copy of
itself for each command. A line of its input is a command as JSON: its `words`, the folder that it
runs in, what its environment has beside this process's, and the file for what it prints. The answer
is a line with its exit status.
"""

import json
import os
import signal
import sys
from typing import Any

from nbgrader.apps.nbgraderapp import main

import course_lib.grading.nbgrader  # noqa: F401  (the courses' nbgrader_config.py imports it)

SECONDS = 300  # a command that takes longer is ended, so that no test waits forever


def run(words: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    """What `python -m nbgrader` does in this folder. Does not return."""
    with open(output, "w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = ["nbgrader", *words]
    signal.alarm(SECONDS)  # by default, the signal ends the process
    main()
    sys.exit(0)


def serve() -> None:
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        process = os.fork()
        if process == 0:
            run(**asked)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
