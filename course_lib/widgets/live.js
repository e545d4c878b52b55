// The code that all live widgets of the course share. live.py puts the palette and this file before a widget's own
// files; there is no build step. The same code runs in a notebook with a kernel and in a page without one.
//
// A widget's file ends with
//     const definition = widget(build);
//     export default definition;
// build(core) runs once for each widget and returns { view }. view(view) fills view.root with controls and returns a
// function that draws the view.

const COLOUR = { ...PALETTE, ink: "#222222", faint: "#D9D9D9" };
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

// A widget is dark on a dark page. Its pictures keep a white background and are only dimmed, because the course's texts
// refer to their colours, and black stands for the data. The focus ring has a contrast of at least 8 : 1 to the card.
// In print everything is light.
const STYLE = `
.course-widget { --paper: #fff; --ink: #222; --quiet: #595959; --frame: #c8c8c8; --line: #8a8a8a; --button: #f4f4f4;
  --over: #e6eef5; --pressed: #dcecf8; --chosen: ${COLOUR.model}; --ring: #004b7a; --wrong: #b34700; --note: #f2f8fc; }
.course-widget { box-sizing: border-box; position: relative; max-width: 1200px; padding: 10px 12px; border: 1px solid var(--frame);
  border-radius: 8px; background: var(--paper); color: var(--ink); color-scheme: light; font: 15px/1.4 ${FONT}; }
/* Words in one of the course's colours, which were chosen for a white background. */
.course-widget .role { color: var(--role); }
@media not print {
  .course-widget.dark { --paper: #1b1f24; --ink: #e6e9ed; --quiet: #a9b1ba; --frame: #4a525b; --line: #7d8792; --button: #2a3038;
    --over: #37424e; --pressed: #1d4a69; --chosen: #7cc4f0; --ring: #9ed6fb; --wrong: #ffa366; --note: #20303c; color-scheme: dark; }
  .course-widget.dark canvas { filter: brightness(.88); box-shadow: 0 0 0 4px #fff; }
  .course-widget.dark canvas:focus-visible { outline-offset: 6px; }       /* outside the white border */
  .course-widget.dark .role { color: color-mix(in srgb, var(--role) 45%, white); }
}
.course-widget * { box-sizing: border-box; }
.course-widget .row { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: center; margin: 4px 0; }
/* Bootstrap, which nbgrader loads, inserts content before and after every .row of a page. */
.course-widget .row::before, .course-widget .row::after { content: none; }
.course-widget button, .course-widget select { font: inherit; color: var(--ink); background: var(--button); margin: 0;
  border: 1px solid var(--line); border-radius: 6px; min-height: 34px; padding: 2px 12px; cursor: pointer; }
.course-widget button:hover, .course-widget select:hover { background: var(--over); }
.course-widget button.main { font-weight: 600; }
.course-widget :focus-visible { outline: 3px solid var(--ring); outline-offset: 2px; }
.course-widget label { display: inline-flex; gap: 6px; align-items: center; font: inherit; color: var(--ink); margin: 0; }
.course-widget input[type=range] { width: 120px; margin: 0; accent-color: var(--chosen); }
.course-widget label.wide, .course-widget label.wide input { flex: 1 1 200px; }
.course-widget .value { font: inherit; white-space: nowrap; min-width: 3.2em; font-variant-numeric: tabular-nums; }
.course-widget canvas { display: block; width: 100%; touch-action: pan-y; border-radius: 4px; }
.course-widget .sum { font-size: 17px; font-variant-numeric: tabular-nums; margin: 2px 0; }
.course-widget .parts { margin: 2px 0 8px; font-variant-numeric: tabular-nums; }
.course-widget .status { min-height: 1.4em; color: var(--quiet); margin: 2px 0 0; }
.course-widget .status.wrong { color: var(--wrong); font-weight: 600; }
.course-widget sub { font-size: .72em; line-height: 0; }
.course-widget .full-screen { margin-left: auto; }
.course-widget:fullscreen { border: 0; border-radius: 0; overflow: auto; }
.course-widget .said { position: absolute; top: 0; left: 0; width: 1px; height: 1px; margin: 0; overflow: hidden;
  clip-path: inset(50%); }
@media (prefers-reduced-motion: reduce) {
  .course-widget * { transition: none !important; animation: none !important; }
}
/* With forced colours all buttons look the same, so a pressed button needs a sign other than colour. */
@media (forced-colors: active) {
  .course-widget [aria-pressed=true] { border: 3px double; text-decoration: underline; font-weight: 600; }
}`;

// Makes `root` dark on a dark page and light on a light one. The page is dark if its text colour is light. A text
// colour that is not given as rgb(…) leaves the widget unchanged. Returns a function that stops following the page.
function matchPage(root) {
  const look = () => {
    const letters = root.isConnected ? getComputedStyle(root.parentElement).color : "";     // not yet shown
    const rgb = letters.startsWith("rgb") && letters.match(/[\d.]+/g);
    if (!rgb) return;
    const [red, green, blue] = rgb.map(Number);
    root.classList.toggle("dark", 0.3 * red + 0.6 * green + 0.1 * blue > 127);
  };
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const page = new MutationObserver(look);      // JupyterLab, the site and the slides store their theme in attributes
  const arrival = new IntersectionObserver(look);
  for (const part of [document.documentElement, document.body]) page.observe(part, { attributes: true });
  arrival.observe(root);
  system.addEventListener("change", look);
  look();
  return () => {
    page.disconnect();
    arrival.disconnect();
    system.removeEventListener("change", look);
  };
}

// With reduced motion nothing moves unless the reader starts it: steps are not animated, axes jump to their new range,
// and a climb shows only its end. Pressing Play is an explicit choice, so Play still shows one frame after another.
const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");

// ---- one widget: its state, its views, its clock -------------------------------------------------------------

class Core {
  constructor(model, build) {
    this.model = model;
    this.live = !model.offline;         // does this page have a kernel?
    this.views = new Set();             // one widget may be shown in several places
    this.jobs = new Set();              // functions called at every animation frame until they return false
    this.frame = 0;                     // the number of frames played so far
    this.dirty = true;
    this.playing = false;               // while this is true, nothing is announced to screen readers
    // {name: value} of the traits that wait to be sent, that the kernel has not processed yet, and that Python set
    // last.
    [this.unsent, this.sent, this.told] = [{}, {}, {}];
    this.message = { text: "", wrong: false };
    this.closing = [];                  // functions called when the widget is closed
    this.loop = this.loop.bind(this);
    this.wake = this.wake.bind(this);
    document.addEventListener("visibilitychange", this.wake);
    this.widget = build(this);
  }

  // Sends traits to the kernel immediately, but at most four times per second, because each message makes the whole
  // interface update.
  share(traits) {
    Object.assign(this.unsent, traits);
    if (!this.sharing) this.flush();
  }

  flush() {
    const traits = Object.entries(this.unsent).filter(([name, value]) => !alike(value, this.model.get(name)));
    this.unsent = {};
    this.sharing = traits.length && setTimeout(() => this.flush(), 250);
    if (!traits.length) return;
    this.writing = true;
    for (const [name, value] of traits) this.model.set(name, value);
    this.writing = false;
    const sent = (this.sent = { ...this.sent, ...Object.fromEntries(traits) });
    const taken = ({ content }) => {
      if (content.execution_state === "idle" && this.sent === sent) this.sent = {};
    };
    this.model.save_changes({ iopub: { status: taken } });
  }

  // The value of a trait in this browser, even if it has not been sent yet.
  get(name) { return name in this.unsent ? this.unsent[name] : this.model.get(name); }

  // Calls back when Python has set a trait. The last value that was set wins, in the browser and in the kernel: a value
  // that waits to be sent is dropped, and if a value in transit has overwritten Python's value, Python's value is sent
  // back.
  heed(name, callback) {
    this.model.on(`change:${name}`, () => {
      if (this.writing) return;         // this browser's own value
      const value = this.model.get(name);
      if (alike(value, this.sent[name])) {    // later, because a set during the event would not count as a change
        return queueMicrotask(() => this.share({ [name]: this.told[name], ...this.unsent }));
      }
      this.told[name] = value;
      delete this.unsent[name];
      callback();
    });
  }

  // Shows a message below every view. While something plays, the message may change thirty times per second, so it is
  // announced to screen readers only when playing ends or when it is an error.
  say(text, wrong = false) {
    this.message = { text, wrong };
    for (const view of this.views) this.tell(view);
  }

  tell(view) {
    const { text, wrong } = this.message;
    if (view.told !== text) typeset(view.status, text);
    view.told = text;
    view.status.classList.toggle("wrong", wrong);
    const heard = spoken(text);
    if ((!this.playing || wrong) && view.said.textContent !== heard) view.said.textContent = heard;
  }

  // Sets the accessible name of a picture, but not while something plays, because every change would be read out.
  describe(canvas, text) {
    const heard = spoken(text);
    if (!this.playing && canvas.getAttribute("aria-label") !== heard) canvas.setAttribute("aria-label", heard);
  }

  // Starts or ends playing, during which nothing is announced.
  plays(on) {
    this.playing = on;
    for (const view of this.views) this.tell(view);
  }

  redraw() { this.dirty = true; this.wake(); }

  run(job) { this.jobs.add(job); this.wake(); return job; }

  // False while the tab is hidden or no view is in sight; then nothing is requested or drawn.
  awake() { return !document.hidden && [...this.views].some((view) => view.seen); }

  wake() {
    if (this.handle || !this.awake()) return;
    this.last = null;
    this.handle = requestAnimationFrame(this.loop);
  }

  loop(now) {
    if (!this.awake()) return (this.handle = 0);      // while it is set, no job starts a second loop
    const seconds = this.last === null ? 0 : Math.min((now - this.last) / 1000, 0.25);
    this.last = now;
    for (const job of [...this.jobs]) if (job(seconds) === false) this.jobs.delete(job);
    if (this.dirty) {
      this.dirty = false;
      for (const view of this.views) if (view.seen) this.draw(view);
    }
    this.handle = this.jobs.size || this.dirty ? requestAnimationFrame(this.loop) : 0;
  }

  draw(view) {
    view.paint();
    Object.assign(view.root.dataset, { frame: this.frame, drawn: ++view.drawn });
  }

  open(el) {
    const root = element("div", { className: "course-widget" });
    const view = { root, seen: false, drawn: 0 };
    root.append(element("style", { textContent: STYLE }));
    el.append(root);
    const release = matchPage(root);
    view.paint = this.widget.view(view);
    view.status = element("p", { className: "status" });
    view.said = element("p", { className: "said" });        // the text for screen readers
    view.said.setAttribute("role", "status");
    root.append(view.status, view.said);
    const closeScreen = fullScreen(view);
    // Otherwise JupyterLab would use a slider's arrow keys to move through the notebook. With Ctrl or ⌘ it receives
    // them.
    const keys = ({ target, ctrlKey, metaKey }) => {
      if (root.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", !(ctrlKey || metaKey));
    };
    window.addEventListener("keydown", keys, true);
    this.views.add(view);
    this.tell(view);
    const sight = new IntersectionObserver((entries) => {
      view.seen = entries[entries.length - 1].isIntersecting;
      this.redraw();
    });
    const size = new ResizeObserver(() => this.redraw());
    sight.observe(root);
    size.observe(root);
    this.draw(view);                    // draw at least once, so that a printed page is not blank
    return () => {
      closeScreen();
      release();
      sight.disconnect();
      size.disconnect();
      window.removeEventListener("keydown", keys, true);
      this.views.delete(view);
    };
  }

  close() {
    document.removeEventListener("visibilitychange", this.wake);
    cancelAnimationFrame(this.handle);
    this.jobs.clear();
    for (const end of this.closing) end();
  }
}

// Calls `tick()` at the given rate per second while it plays. A tick that has nothing to show yet returns false; it is
// called again at the next animation frame, and the missed time is not made up for.
class Player {
  constructor(core, { rate, tick }) {
    Object.assign(this, { core, rate, tick, due: 0, playing: false });
    this.step = this.step.bind(this);
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    this.core.plays(true);
    this.due = 1;                       // the first frame is shown as soon as it is available
    this.core.run(this.step);
    this.core.redraw();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.core.plays(false);
    this.core.redraw();
  }

  step(seconds) {
    this.due += seconds * this.rate;
    while (this.playing && this.due >= 1 && this.tick() !== false) {
      this.due -= 1;
      this.core.frame += 1;
      this.core.redraw();
    }
    this.due = Math.min(this.due, 1);
    return this.playing;
  }
}

// ---- an engine -----------------------------------------------------------------------------------------------

// An engine that computes in a worker, so that the page stays responsive. The source code of `functions` is the
// worker's whole program. The last function returns {start}, where start(setup) returns a function from a request to a
// reply. A reply must depend only on its request, so that the page can compute it if a worker is not available or has
// failed.
class Background {
  constructor(functions, start, setup) {
    Object.assign(this, { functions, start, setup, worker: null, here: null, asked: Promise.resolve(), reply: null });
  }

  // Sends one request after another, so that at most one is pending.
  ask(request) {
    const answer = this.asked.then(() => (this.here ? this.compute(request) : this.send(request)));
    this.asked = answer.catch(() => {});
    return answer;
  }

  send(request) {
    return new Promise((resolve, reject) => {
      this.reply = ({ value, error }) => (error === undefined ? resolve(value) : reject(new Error(error)));
      const lost = () => {
        this.close();
        this.compute(request).then(resolve, reject);
      };
      try {
        this.worker ??= this.open();
        this.worker.onerror = lost;
        this.worker.postMessage(request);
      } catch {
        lost();
      }
    });
  }

  open() {
    const program = [...this.functions, serve].join("\n");
    const last = this.functions[this.functions.length - 1].name;
    const text = `${program}\nserve(${last}().start);`;
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const worker = new Worker(url);
    worker.onmessage = ({ data }) => this.reply(data);
    worker.postMessage(this.setup);
    return worker;
  }

  async compute(request) {
    this.here ??= this.start(this.setup);
    return this.here(request);
  }

  close() {
    this.worker?.terminate();
    this.worker = null;
  }
}

// Runs in the worker. The first message is the setup, and every other message is a request. Arrays are transferred, not
// copied.
function serve(start) {
  let answer = null;
  onmessage = ({ data }) => {
    if (!answer) {
      answer = start(data);
      return;
    }
    try {
      const value = answer(data);
      postMessage({ value }, Object.values(value).map((part) => part.buffer).filter(Boolean));
    } catch (error) {
      postMessage({ error: error.message });
    }
  };
}

function widget(build) {
  const cores = new Map();
  const core = (model) => {
    const uid = model.get("uid");
    if (!cores.has(uid)) cores.set(uid, new Core(model, build));
    return cores.get(uid);
  };
  return {
    // The core is created here, so that it outlives the first view.
    initialize({ model }) {
      core(model);
      return () => { core(model).close(); cores.delete(model.get("uid")); };
    },
    render({ model, el }) { return core(model).open(el); },
  };
}

const alike = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Replaces the picture in a saved page with a widget that works without a kernel.
function mount(uid, state, definition) {
  for (const place of document.querySelectorAll(`[data-course="${uid}"]`)) {
    place.removeAttribute("data-course");
    const model = { offline: true, get: (name) => state[name], set: (name, value) => { state[name] = value; },
      save_changes() {}, on() {}, off() {}, send() {} };
    const el = element("div");
    definition.initialize({ model });
    place.after(el);
    definition.render({ model, el });
    place.remove();
  }
}

// ---- controls ------------------------------------------------------------------------------------------------

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// The label contains the text of the button, so that people who use voice control can say what they see.
function button(text, label, onclick, className = "") {
  const made = element("button", { type: "button", textContent: text, onclick, className });
  entitle(made, label);
  return made;
}

function entitle(made, label) {
  if (made.title === label) return;
  made.title = label;
  made.setAttribute("aria-label", spoken(label));
}

// A Play button that reads Pause while something plays: {button, sync(playing)}.
function playButton(label, toggle) {
  const made = button("", label, toggle, "main");
  made.style.minWidth = "7em";
  const sync = (playing) => {
    const text = playing ? "❚❚ Pause" : "▶ Play";
    if (made.textContent === text) return;
    made.textContent = text;
    entitle(made, playing ? "Pause" : label);
  };
  sync(false);
  return { button: made, sync };
}

// Puts a text into an element, with the b of L_b as a subscript.
function typeset(place, string) {
  const bound = () => element("span", {}, "L", element("sub", { textContent: "b" }));
  place.replaceChildren(...string.split("L_b").flatMap((part, i) => (i ? [bound(), part] : [part])));
}

// The same text for screen readers.
const spoken = (string) => string.replaceAll("L_b", "L b");

// Shows the text of `part` in one of the course's colours.
function inColour(part, colour) {
  part.classList.add("role");
  part.style.setProperty("--role", colour);
}

// A labelled slider, {label, input, output}. Calls oninput(value) while it moves and onchange(value) on release.
function slider(name, { min, max, step, label, oninput, onchange = () => {} }) {
  const input = element("input", { type: "range", min, max, step });
  input.setAttribute("aria-label", label);
  input.oninput = () => oninput(Number(input.value));
  input.onchange = () => onchange(Number(input.value));
  const output = element("span", { className: "value" });     // an <output> would be announced at every change
  return { label: element("label", {}, name, input, output), input, output };
}

function choice(name, options, label, onchange) {
  const select = element("select");
  select.setAttribute("aria-label", label);
  for (const [value, text] of options) select.append(element("option", { value, textContent: text }));
  select.onchange = () => onchange(select.value);
  return { label: element("label", {}, name, select), select };
}

// A number with a true minus sign.
const number = (value, digits = 3) => {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
};

// ---- full screen ---------------------------------------------------------------------------------------------

const NARROW = 640;       // CSS pixels; the zoom never makes the widget narrower than this
const SMALLER = 0.96;     // the ratio from one zoom to the next smaller one

// Adds a button at the end of the first row that shows only the widget, in the largest type with which it fits the
// screen. The button or Escape leaves full screen. Pages that cannot fill the screen, such as those in a frame of
// another site or on an iPhone, have no button. Returns a function that removes the event listeners.
function fullScreen(view) {
  const { root } = view;
  if (!document.fullscreenEnabled) return () => {};
  const alone = () => root.matches(":fullscreen");
  // Browsers without this property measure zoomed elements differently, so the type keeps its size there.
  const canZoom = "currentCSSZoom" in root;
  const leave = () => document.exitFullscreen();
  const enter = () => root.requestFullscreen().catch(() => { made.hidden = true; });
  const made = button("Full screen", "Full screen, in large type", () => (alone() ? leave() : enter()), "full-screen");
  root.querySelector(".row").append(made);

  function scale(k) {
    root.style.zoom = k > 1 ? k : "";
    view.paint();
  }

  function shrink(k) {
    while (k > 1 && root.scrollHeight > root.clientHeight) {
      k *= SMALLER;
      scale(k);
    }
  }

  function fit() {
    if (!alone() || !canZoom) return;
    const most = window.innerWidth / NARROW;
    scale(most);
    shrink(most);
  }

  function change() {
    made.textContent = alone() ? "Leave full screen" : "Full screen";
    entitle(made, alone() ? "Leave full screen (Escape)" : "Full screen, in large type");
    if (alone()) fit();
    else scale(1);
  }

  // The Tab key could still reach the page behind, which is not visible.
  const back = ({ target }) => {
    if (alone() && !root.contains(target)) made.focus();
  };
  // A click may have made the widget taller.
  const grown = () => {
    if (alone() && canZoom) requestAnimationFrame(() => shrink(zoomOf(root)));
  };
  const end = new AbortController();
  root.addEventListener("fullscreenchange", change);
  root.addEventListener("toggle", fit, true);       // settings that are opened or closed
  for (const kind of ["click", "change"]) root.addEventListener(kind, grown);
  window.addEventListener("resize", fit, { signal: end.signal });
  document.addEventListener("focusin", back, { signal: end.signal });
  return () => end.abort();
}

const zoomOf = (part) => part.currentCSSZoom ?? 1;

// ---- drawing -------------------------------------------------------------------------------------------------

// Fits the canvas to its container and to the pixels of the screen. Returns {g, width, height} in CSS pixels.
function prepare(canvas, heightFor) {
  const width = Math.max(canvas.clientWidth || 680, 280);
  const height = heightFor(width);
  const ratio = (window.devicePixelRatio || 1) * zoomOf(canvas);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  canvas.style.height = `${height}px`;
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const g = canvas.getContext("2d");
  g.setTransform(w / width, 0, 0, h / height, 0, 0);
  g.fillStyle = "#fff";
  g.fillRect(0, 0, width, height);
  g.lineJoin = "round";
  return { g, width, height };
}

function text(g, string, x, y, { colour = COLOUR.ink, size = 14, align = "left", bold = false, base = "middle" } = {}) {
  const font = (part) => `${bold ? 600 : 400} ${part * size}px ${FONT}`;
  g.textAlign = align;
  g.textBaseline = base;
  g.fillStyle = colour;
  g.font = font(1);
  if (!string.includes("L_b")) return g.fillText(string, x, y);
  // The b of L_b is drawn smaller and slightly lower.
  const runs = string.split("_b").flatMap((part, i) => (i ? [["b", 0.72], [part, 1]] : [[part, 1]]));
  const widths = runs.map(([part, scale]) => {
    g.font = font(scale);
    return g.measureText(part).width;
  });
  const whole = widths.reduce((sum, width) => sum + width, 0);
  let from = x - { left: 0, center: 0.5, right: 1 }[align] * whole;
  g.textAlign = "left";
  runs.forEach(([part, scale], i) => {
    g.font = font(scale);
    g.fillText(part, from, scale < 1 ? y + 0.25 * size : y);
    from += widths[i];
  });
}

function path(g, xs, ys, { colour, width = 2.5, fill = null, floor = 0, dash = [] }) {
  g.beginPath();
  xs.forEach((x, i) => (i ? g.lineTo(x, ys[i]) : g.moveTo(x, ys[i])));
  g.setLineDash(dash);
  g.strokeStyle = colour;
  g.lineWidth = width;
  if (width) g.stroke();
  g.setLineDash([]);
  if (!fill) return;
  g.lineTo(xs[xs.length - 1], floor);
  g.lineTo(xs[0], floor);
  g.fillStyle = fill;
  g.fill();
}

// The outlines of nine marks, as corners on a circle of radius 1 (the circle itself has none). Shapes distinguish
// points for readers who cannot rely on colour.
const turned = (n, start, inner = 1) => Array.from({ length: n }, (_, i) => {
  const [angle, far] = [start + (2 * Math.PI * i) / n, i % 2 ? inner : 1];
  return [far * Math.cos(angle), far * Math.sin(angle)];
});
const UP = -Math.PI / 2;
const SHAPES = [[], turned(4, Math.PI / 4), turned(3, UP), turned(4, UP), turned(3, -UP), turned(10, UP, 0.5),
  [[-0.5, -1], [0.5, -1], [0.5, 1], [-0.5, 1]], turned(8, UP, 0.45), turned(8, UP + Math.PI / 4, 0.45)];
const REACH = [1, 1.25, 1.5, 1.25, 1.5, 1.5, 1.3, 1.6, 1.6];      // makes all marks about as large as the circle

// Draws mark number `kind`; number 0 is a circle.
function mark(g, kind, x, y, radius, fill, stroke, width = 1) {
  const corners = SHAPES[kind % SHAPES.length];
  const far = radius * REACH[kind % SHAPES.length];
  g.beginPath();
  if (corners.length) corners.forEach(([a, b], i) => (i ? g.lineTo(x + far * a, y + far * b) : g.moveTo(x + far * a, y + far * b)));
  else g.arc(x, y, radius, 0, 2 * Math.PI);
  g.closePath();
  g.fillStyle = fill;
  g.fill();
  g.strokeStyle = stroke;
  g.lineWidth = width;
  if (width) g.stroke();
}

const circle = (g, x, y, radius, fill, stroke, width = 1) => mark(g, 0, x, y, radius, fill, stroke, width);

// About `count` round numbers between lo and hi, and the digits needed to distinguish them; none if the range is empty.
function ticks(lo, hi, count = 4) {
  if (!(hi > lo) || !Number.isFinite(hi - lo)) return { values: [], digits: 0 };
  const rough = (hi - lo) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((m) => m * power >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (step / power === 2.5 ? 1 : 0));
  const values = [];
  for (let v = Math.ceil(lo / step - 1e-9) * step; v <= hi + 1e-9 * step; v += step) values.push(v);
  return { values, digits };
}

// Draws the vertical axis of a panel {x, y, w, h} for values from lo to hi. Returns a function from a value to its
// pixel.
function axis(g, { x, y, w, h }, lo, hi, count = 4, size = 13) {
  const scale = (v) => y + h - ((v - lo) / (hi - lo)) * h;
  const { values, digits } = ticks(lo, hi, count);
  for (const v of values) {
    path(g, [x, x + w], [scale(v), scale(v)], { colour: COLOUR.faint, width: 1 });
    text(g, number(v, digits), x - 6, scale(v), { align: "right", size });
  }
  return scale;
}

// Handles dragging by mouse, pen or finger. `start(x, y)` returns what was caught, or null; move and end then receive
// it.
function draggable(canvas, { start, move, end, hover = () => "default" }) {
  let caught = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top].map((far) => far / zoomOf(canvas));
  };
  canvas.addEventListener("pointerdown", (event) => {
    caught = start(...at(event));
    if (caught === null) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (caught === null) canvas.style.cursor = hover(...at(event));
    else move(caught, ...at(event));
  });
  const release = () => {
    if (caught === null) return;
    const was = caught;
    caught = null;
    end(was);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
}
