"""What all live widgets share: saved output, traits that follow the browser, engines, questions."""

import base64
import io
import json
import re
import subprocess
import sys
import threading
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from browser import ROOT, WIDGET_VIEW, run_module
from matplotlib.figure import Figure
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter

from course_lib.widgets import ElboBars, EMStepper, Live
from course_lib.widgets.asking import Asking, sentence
from course_lib.widgets.live import source

pytest_plugins = ["browser"]


# ---- importing ----


def test_importing_the_widgets_loads_nothing_heavy():
    """Nor does making one that is given no tensor."""
    code = """
import sys
from course_lib.widgets import EMStepper, ElboBars, Quiz
EMStepper(), ElboBars(), Quiz([[[0.0, 1.0]]], [[[1.0, 0.0]]])
print([name for name in ("torch", "sklearn", "scipy", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "[]", done.stderr


# ---- questions to the kernel ----


@pytest.fixture
def counter(tmp_path):
    """A widget that counts when it is asked."""
    (tmp_path / "counter.js").write_text("const definition = 1; export default definition;")

    class Counter(Asking):
        """Counts."""

        script = tmp_path / "counter.js"
        n = 0

        def answer(self, question):
            if question.get("fail"):
                raise question["fail"]
            out = []
            for _ in range(question["rows"]):
                before = self.n
                time.sleep(0.0002)  # gives another thread its chance to come between
                self.n = before + 1
                out.append([self.n, -self.n])
            return np.array(out) if not question.get("flat") else np.array(out).ravel()

        def strip(self):
            return Figure(figsize=(1, 1))

    widget = Counter()
    widget.sent = []
    widget.send = lambda content, buffers=None: widget.sent.append((content, buffers))
    return widget


def test_an_answer_comes_back_as_one_float32_buffer(counter):
    counter._reply(counter, {"tick": 7, "client": "a", "rows": 6}, [])
    ((content, buffers),) = counter.sent
    assert content == {"tick": 7, "client": "a", "shape": [6, 2]}
    assert len(buffers) == 1
    rows = np.frombuffer(buffers[0], "<f4").reshape(6, 2)
    np.testing.assert_array_equal(rows[:, 0], [1, 2, 3, 4, 5, 6])


def test_errors_reach_the_browser_as_one_sentence(counter):
    error = ValueError("The step is too large: choose 0.1 or less.\nmore that nobody reads")
    counter._reply(counter, {"tick": 1, "rows": 1, "fail": error}, [])
    counter._reply(counter, {"tick": 2, "rows": 2, "flat": True}, [])
    (first, buffers), (second, _) = counter.sent
    assert first["error"] == "The step is too large: choose 0.1 or less."
    assert first["tick"] == 1
    assert not buffers
    assert second["error"] == "answer() must return an array of shape (n, F), not (4,)"
    assert sentence(KeyError("w")) == "KeyError: 'w'"
    assert sentence(RuntimeError()) == "RuntimeError"


@pytest.mark.parametrize("message", [None, [], {}, {"rows": 3}])
def test_messages_that_ask_for_nothing_are_left_alone(counter, message):
    counter._reply(counter, message, [])
    assert counter.sent == []


def test_two_threads_do_not_get_in_each_others_way(counter):
    """Under ipykernel 7 answers run on their own thread; without the lock counts would be lost."""
    question = {"tick": 0, "rows": 5}
    threads = [
        threading.Thread(target=lambda: [counter._reply(counter, question, []) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.n == 4 * 20 * 5


# ---- saved output ----


@pytest.mark.parametrize(
    "make", [EMStepper, ElboBars, lambda: EMStepper(np.linspace(-1, 1, 20) ** 3)]
)
def test_the_saved_output_holds_a_picture_and_a_page(make):
    widget = make()
    figures = plt.get_fignums()
    data, _ = widget._repr_mimebundle_()
    assert plt.get_fignums() == figures  # nothing of pyplot's was touched
    assert WIDGET_VIEW in data
    image = plt.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.shape[1] > 600
    assert image[..., :3].std() > 0.05  # something is drawn
    page = data["text/html"]
    assert f'src="data:image/png;base64,{data["image/png"]}"' in page
    assert (
        page.count("<script") == page.count("</script") == 1
    )  # nothing in the code or the data ends it early
    assert "http" not in page.replace("data:image", "")  # no CDN, no address of any kind
    assert len(page) < 400_000  # several fit into a notebook of 1.5 MB


def test_html_export_without_widget_state_takes_the_page():
    data, _ = ElboBars()._repr_mimebundle_()
    choose = WidgetsDataTypeFilter(notebook_metadata={})
    choose.display_data_priority = [WIDGET_VIEW, "text/html", "image/png", "text/plain"]
    assert choose(data) == ["text/html"]
    data.pop(WIDGET_VIEW)
    assert choose(data) == ["text/html"]


def state_in(page):
    """The traits of a saved widget."""
    call = re.search(r"mount\((.*), definition\);", page).group(1)
    return json.loads(f"[{call}]")[1]


def test_state_in_the_page_cannot_break_out_of_its_script(counter):
    counter.uid = "</script><b>"
    page = counter._repr_mimebundle_()[0]["text/html"]
    # the closing tag, and the attribute, which is not inside the script
    assert page.count("</script") == 2
    assert state_in(page)["uid"] == "</script><b>"


def test_a_renewed_page_keeps_the_state_that_was_saved():
    """Only what the widget did not know yet, when it was saved, has its default."""
    widget = EMStepper(np.linspace(-1, 1, 20) ** 3, n_components=2, reg_covar=0.01)
    page = widget._repr_mimebundle_()[0]["text/html"]
    saved = state_in(page)
    assert state_in(EMStepper.renewed(page)) == saved

    known = {name: value for name, value in saved.items() if name != "reg_covar"}
    older = page.replace(json.dumps(saved), json.dumps(known))
    assert state_in(older) == known
    assert state_in(EMStepper.renewed(older)) == saved | {"reg_covar": 1e-6}


def test_a_widget_without_a_strip_says_so():
    with pytest.raises(NotImplementedError, match=r"Live does not implement strip\(\)"):
        Live().strip()


# ---- an engine ----

# It adds up what it is asked, and counts how many questions were under way together.
SUMS = """
function adder() {
  const start = (more) => ({ numbers }) => {
    if (!numbers.length) throw new Error("There is nothing to add.");
    const where = typeof document === "undefined" ? "worker" : "page";
    return { where, sum: Float64Array.of(numbers.reduce((a, b) => a + b, more)) };
  };
  return { start };
}
export { Background, adder };
"""
ADD = """async (m, spoil) => {
    if (spoil === "none") globalThis.Worker = undefined;
    // A policy of the page may forbid the program, and only say so later.
    const Real = globalThis.Worker;
    const failing = "data:text/javascript,throw 1";
    if (spoil === "late") globalThis.Worker = function () { return new Real(failing); };
    const engine = new m.Background([m.adder], m.adder().start, 100);
    const ask = (numbers) => engine.ask({ numbers }).catch((error) => error.message);
    const asked = [[1, 2], [], [3, 4]].map(ask);
    const found = (await Promise.all(asked)).map((a) => (a.sum ? [a.where, a.sum[0]] : a));
    engine.close();
    return found;
}"""


@pytest.mark.parametrize(("spoil", "where"), [("", "worker"), ("none", "page"), ("late", "page")])
def test_an_engine_answers_from_a_worker_or_without_one_from_the_page(chromium, spoil, where):
    found = run_module(chromium, source() + SUMS, ADD, spoil)
    assert found == [[where, 103], "There is nothing to add.", [where, 107]]


# ---- traits that follow the browser ----

# A widget that only keeps a trait z, on a model like ipywidgets' own: it remembers what was set and
# sends that when told to. The kernel's part is played by the test.
PLAIN = """
let core;
const definition = widget((c) => {
  core = c;
  c.heed("z", () => heard.push(c.get("z")));
  return {};
});
const [state, dirty, on, sent, heard] = [{ uid: "a", z: [0, 0] }, {}, {}, [], []];
const model = {
  get: (name) => state[name],
  on(event, callback) { on[event] = callback; },
  set(name, value) {
    if (alike(state[name], value)) return;
    dirty[name] = state[name] = value;
    on["change:" + name]();
  },
  save_changes({ iopub }) {
    sent.push({ ...dirty, idle: () => iopub.status({ content: { execution_state: "idle" } }) });
    delete dirty.z;
  },
};
definition.initialize({ model });
const share = (z) => core.share({ z });
const python = (z) => { if (alike(state.z, z)) return; state.z = z; on["change:z"](); };
const rest = (ms) => new Promise((done) => setTimeout(done, ms));
const zs = () => sent.map((message) => message.z);
export { share, python, rest, sent, zs, heard, state };
"""


def play(chromium, script):
    return run_module(chromium, source() + PLAIN, f"async (m) => {{ {script} }}", None)


def test_what_the_browser_sets_goes_at_once_and_then_four_times_a_second_at_most(chromium):
    first, all_of_them, heard = play(
        chromium,
        """ m.share([1, 1]); const first = m.zs(); for (let k = 2; k < 9; k++) m.share([k, k]);
        await m.rest(600); return [first, m.zs(), m.heard]; """,
    )
    assert first == [[1, 1]]
    assert all_of_them == [[1, 1], [8, 8]]  # of those in between nobody needs to know
    assert heard == []  # the browser's own values are no news to it


def test_what_waits_to_be_sent_does_not_overwrite_what_python_sets_in_the_meantime(chromium):
    sent, heard, z = play(
        chromium,
        """ m.share([1, 1]); m.share([2, 2]); m.sent[0].idle(); m.python([5, 5]);
        await m.rest(600); return [m.zs(), m.heard, m.state.z]; """,
    )
    assert (sent, heard, z) == ([[1, 1]], [[5, 5]], [5, 5])


@pytest.mark.parametrize("later", ["", "m.share([3, 3]);"])
def test_what_is_on_its_way_to_a_busy_kernel_does_not_either(chromium, later):
    """The kernel takes [1, 1] after Python has set [5, 5], and echoes it: [5, 5] is sent back."""
    sent, heard, z = play(
        chromium,
        f""" m.share([1, 1]); m.python([5, 5]); {later} m.python([1, 1]); m.sent[0].idle();
        await m.rest(600); return [m.zs(), m.heard, m.state.z]; """,
    )
    last = [3, 3] if later else [5, 5]  # or what the user has done since
    assert (sent, heard, z) == ([[1, 1], last], [[5, 5]], last)


def test_python_may_set_what_the_browser_once_had(chromium):
    sent, heard, z = play(
        chromium,
        """ m.share([1, 1]); m.sent[0].idle(); await m.rest(300); m.share([1, 1]);
        m.python([5, 5]); m.python([1, 1]); await m.rest(600);
        return [m.zs(), m.heard, m.state.z]; """,
    )
    assert (sent, heard, z) == ([[1, 1]], [[5, 5], [1, 1]], [1, 1])
