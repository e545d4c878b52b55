// The front end of ElboBars. Every number is an integral over z by the trapezoidal rule on one grid, computed here
// while the mouse moves. A test checks that the numbers equal those of course_lib.probability.elbo.

const DECODERS = {
  line: { text: "w·z", h: (z) => z, slope: () => 1 },
  bend: { text: "w·tanh 2z", h: (z) => Math.tanh(2 * z), slope: (z) => 2 / Math.cosh(2 * z) ** 2 },
  fold: { text: "w·z²", h: (z) => z * z, slope: (z) => 2 * z },
};
// Wide enough for six sigma of the widest and farthest q; fine enough for the narrowest q (2½ points per sigma).
const GRID = Float64Array.from({ length: 1201 }, (_, i) => (i - 600) / 50);
const LIMITS = { m: [-3, 3], sigma: [0.05, 1.5], w: [-3, 3], x: [-4, 4] };
const LOG_2PI = Math.log(2 * Math.PI);

const logNormal = (x, mean, sd) => -0.5 * (LOG_2PI + ((x - mean) / sd) ** 2) - Math.log(sd);

function integrate(values) {
  let sum = -0.5 * (values[0] + values[values.length - 1]);
  for (const v of values) sum += v;
  return sum * (GRID[1] - GRID[0]);
}

// Computes log P(x), its parts, and the log-densities of the posterior and of q on the grid for a state {decoder, x, w,
// s, m, sigma}.
function numbers({ decoder, x, w, s, m, sigma }) {
  const { h } = DECODERS[decoder];
  const logPrior = GRID.map((z) => logNormal(z, 0, 1));
  const logLik = GRID.map((z) => logNormal(x, w * h(z), s));
  const joint = GRID.map((_, i) => logPrior[i] + logLik[i]);
  const top = Math.max(...joint);
  const logPx = top + Math.log(integrate(joint.map((v) => Math.exp(v - top))));
  const logQ = GRID.map((z) => logNormal(z, m, sigma));
  // Where q underflows, its weight is 0, even if the value is infinite.
  const average = (values) => integrate(values.map((v, i) => (logQ[i] < -700 ? 0 : Math.exp(logQ[i]) * v)));
  const reconstruction = average(logLik);
  const kl = average(logQ.map((v, i) => v - logPrior[i]));
  const logPosterior = joint.map((v) => v - logPx);
  const bound = reconstruction - kl;
  return { logPx, reconstruction, kl, bound, gap: logPx - bound, logPosterior, logQ, average };
}

const clamp = (name, value) => Math.min(Math.max(value, LIMITS[name][0]), LIMITS[name][1]);

// Takes one step of q up L_b, along the natural gradient in m and log sigma, and halves it until L_b rises. Returns
// null at the maximum.
function climbQ(state) {
  const { h, slope } = DECODERS[state.decoder];
  const { m, sigma, w, x, s } = state;
  const now = numbers(state);
  const pull = GRID.map((z) => ((x - w * h(z)) * w * slope(z)) / (s * s) - z);       // d/dz log P(x, z)
  const gradientM = now.average(pull);
  const gradientLog = now.average(pull.map((v, i) => v * (GRID[i] - m))) + 1;
  for (let rate = 0.15; rate > 1e-4; rate /= 2) {
    const next = { ...state, m: clamp("m", m + rate * sigma * sigma * gradientM),
      sigma: clamp("sigma", sigma * Math.exp(rate * 0.5 * Math.max(-4, Math.min(4, gradientLog)))) };
    if (numbers(next).bound > now.bound + 1e-9) return next;
  }
  return null;
}

// Takes one step of P up L_b. The mean of x|z is linear in w, so L_b is a parabola in w with a known maximum. Returns
// null at the maximum.
function climbP(state) {
  const { h } = DECODERS[state.decoder];
  const { average } = numbers(state);
  const best = clamp("w", (state.x * average(GRID.map(h))) / average(GRID.map((z) => h(z) ** 2)));
  const left = best - state.w;
  if (Math.abs(left) < 1e-9) return null;
  return { ...state, w: Math.abs(left) < 2e-3 ? best : state.w + 0.08 * left };
}

// ---- the widget ----------------------------------------------------------------------------------------------

const NAMES = ["decoder", "x", "w", "m", "sigma"];
const KEPT = 12;                // the number of bars in the strip
const SEEN = 5e-4;              // nats; smaller changes are not visible in three decimals
const PAUSE = 0.5;              // seconds between two steps while playing
// The first two presets use the line; s is the widget's. The trap starts at the w that maximizes P(x), w² = x² − s².
const PRESETS = {
  close: { text: "gap closed, then P", values: () => ({ decoder: "line", x: 2, w: 0.6, m: 0, sigma: 1 }),
    said: "Press “fit q” until the gap is closed, then “fit P”: log P(x) must rise with L_b. Repeating the two is EM." },
  trap: { text: "the trap: P alone", said: "q is far from the posterior. Press “fit P”: L_b rises, but log P(x) falls.",
    values: (s) => ({ decoder: "line", x: 2, w: Math.sqrt(4 - Math.min(s * s, 3.9)), m: 0.1, sigma: 1 }) },
  fold: { text: "two humps", values: () => ({ decoder: "fold", x: 2, w: 1, m: 0.8, sigma: 0.8 }),
    said: "The posterior has two humps, but q has only one. “fit q” cannot close the gap, and its result depends on the start." },
};

function build(core) {
  const model = core.model;
  const s = model.get("s");
  const read = () => Object.fromEntries([...NAMES, "s"].map((name) => [name, core.get(name)]));
  const first = read();
  let state = { ...first };
  let now = numbers(state);
  let past = [{ ...now, state, name: "start" }];
  let at = 0;                   // the position on the timeline
  let job = null;               // the climb in progress
  let doing = "";               // the name of that climb
  let playing = false;
  let lens = null;              // the ranges of the axes, which follow the numbers smoothly
  let held = null;

  function set(values) {
    state = { ...state, ...values };
    now = numbers(state);
    core.redraw();
  }

  // Stops playing and climbing. An interrupted climb is recorded where it has stopped.
  function stop() {
    const broken = doing;
    core.jobs.delete(job);
    [job, doing] = [null, ""];
    if (broken) record(broken);
    if (!playing) return;
    playing = false;
    core.plays(false);
    core.redraw();
  }

  // Adds the result of an action to the strip, in place of any results after the current moment.
  function keep(name) {
    past = [...past.slice(0, at + 1), { ...now, state, name }].slice(-KEPT);
    at = past.length - 1;
    core.redraw();
  }

  // Adds the result to the strip and sends it to the kernel.
  const share = () => core.share(Object.fromEntries(NAMES.map((n) => [n, state[n]])));
  function record(name, fresh = false) {
    if (fresh) [past, at] = [[], -1];
    keep(name);
    share();
  }

  // Goes to a moment of the timeline.
  function go(place) {
    stop();
    at = Math.min(Math.max(place, 0), past.length - 1);
    set(past[at].state);
    share();
    core.say(`${past[at].name}, ${at + 1} of ${past.length}: ${sums()}`);
  }

  const sums = () => `log P(x) ${number(now.logPx)} = L_b ${number(now.bound)} + gap ${number(now.gap)}.`;

  // Climbs until L_b stops rising, then calls `done(gain)`.
  function climb([name, step, said], done = () => {}) {
    const old = now;
    let rounds = 0;
    doing = name;
    job = core.run(() => {
      const all = CALM.matches ? 400 : 1;       // with reduced motion, the whole climb at once
      for (let i = 0; i < all; i++) {
        const next = rounds++ < 400 ? step(state) : null;
        if (!next) return arrive();
        set(next);
      }
    });
    function arrive() {
      [job, doing] = [null, ""];
      record(name);
      const gain = now.bound - old.bound;
      const rise = (v) => Math.abs(v) < SEEN ? "stayed" : `${v >= 0 ? "rose" : "fell"} by ${number(Math.abs(v))}`;
      core.say(gain < SEEN ? `${name}: nothing left to gain. L_b is at its maximum.` : said(rise(gain), rise(now.logPx - old.logPx)));
      done(gain);
      return false;
    }
  }
  const FIT_Q = ["fit q", climbQ, (bound) =>
    `fit q: L_b ${bound}. log P(x) did not change, so the gap shrank by the same amount, to ${number(now.gap)}.`];
  const FIT_P = ["fit P", climbP, (bound, logPx) =>
    `fit P: L_b ${bound}, log P(x) ${logPx}${logPx.startsWith("fell") ? ": the gap was wide enough to mislead the fit" : ""}.`];

  const fit = (what) => { stop(); climb(what); };
  const turn = () => (past[at].name === "fit q" ? FIT_P : FIT_Q);        // the fit whose turn it is

  // Fits q and P in turn, as EM does, until neither makes a visible gain.
  function play(gained = Infinity) {
    let rest = PAUSE;
    job = core.run((seconds) => {
      rest -= seconds;
      if (rest > 0) return true;
      climb(turn(), (gain) => {
        if (Math.max(gain, gained) >= SEEN) return play(gain);
        stop();
        core.say(`Converged: neither q nor P can raise L_b any further. ${sums()}`);
      });
      return false;
    });
  }

  function toggle() {
    if (playing) {
      stop();
      return core.say(`Paused. ${sums()}`);
    }
    stop();
    playing = true;
    core.say("Playing: fitting q and P in turn until neither can raise L_b.");
    core.plays(true);
    play();
    core.redraw();
  }

  function preset(key) {
    stop();
    set(PRESETS[key].values(s));
    lens = null;
    record("start", true);
    core.say(PRESETS[key].said);
  }

  function reset() {
    stop();
    set(first);
    lens = null;
    record("start", true);
    core.say(HINT);
  }

  const HINT = "Drag the orange curve: its top moves m, and its sides change σ. “fit q” and “fit P” climb L_b.";
  core.say(HINT);
  const refresh = () => {
    const told = read();
    if (NAMES.some((name) => told[name] !== state[name])) {
      stop();
      set(told);
      keep("Python");
    }
  };
  NAMES.forEach((name) => core.heed(name, refresh));

  // -- drawing

  function layout(width) {
    const wide = width >= 540;
    const top = wide ? Math.max(250, Math.min(340, 0.34 * width)) : 250;
    const left = wide ? Math.round(0.54 * width) : width;
    const strip = { h: 104 };
    const bars = wide ? { x: left + 58, y: 16, w: width - left - 60, h: top - 48 }
      : { x: 54, y: top + 16, w: width - 58, h: 190 };
    const y = (wide ? top : top + 240) + 26;
    return { density: { x: 0, y: 8, w: left, h: top - 40 }, bars, strip: { x: 54, y, w: width - 58, ...strip },
      height: y + strip.h + 30 };
  }

  const acrossZ = (box) => (z) => box.x + ((z + 4) / 8) * box.w;

  // The handles of q: its top for m and its two flanks for sigma.
  function handles(box) {
    const to = acrossZ(box);
    const y = (z) => box.y + box.h - (Math.exp(logNormal(z, state.m, state.sigma)) / lens[0]) * box.h;
    const { m, sigma } = state;
    return { m: [to(m), y(m)], right: [to(m + sigma), y(m + sigma)], left: [to(m - sigma), y(m - sigma)] };
  }

  // log P(x) before the last action, drawn so that a rise or a fall is visible.
  const before = () => (past[doing || held ? at : at - 1] ?? past[0]).logPx;

  function follow() {
    const peak = Math.max(0.45, Math.exp(Math.max(...now.logPosterior)), Math.exp(logNormal(0, 0, state.sigma)));
    const high = Math.max(now.logPx, now.reconstruction, before());
    const low = Math.min(now.bound, high - 1.2, before());
    const all = past.flatMap((p) => [p.logPx, p.bound]);
    const [top, bottom] = [Math.max(...all, now.logPx), Math.min(...all, now.bound)];
    const wanted = [1.12 * peak, low - 0.3 * (high - low), high + 0.12 * (high - low),
      bottom - 0.25 * Math.max(top - bottom, 0.5), top + 0.12 * Math.max(top - bottom, 0.5)];
    lens = lens ? lens.map((v, i) => v + 0.25 * (wanted[i] - v)) : wanted;
    const moving = lens.some((v, i) => Math.abs(v - wanted[i]) > 0.003 * Math.abs(wanted[2] - wanted[1]));
    if (moving && !CALM.matches) core.dirty = true;
    else lens = wanted;
  }

  function drawDensities(g, box) {
    const to = acrossZ(box);
    const floor = box.y + box.h;
    const zs = GRID.filter((z) => Math.abs(z) <= 4.0001);
    const skip = GRID.indexOf(zs[0]);
    const xs = Array.from(zs, to);
    const curve = (logs, options) => path(g, xs,
      Array.from(zs, (_, i) => floor - (Math.exp(logs[i + skip]) / lens[0]) * box.h), { floor, ...options });
    g.save();
    g.beginPath();
    g.rect(box.x, box.y - 8, box.w, box.h + 8);
    g.clip();
    curve(GRID.map((z) => logNormal(z, 0, 1)), { colour: COLOUR.prior, width: 2.5, dash: [7, 5] });
    curve(now.logPosterior, { colour: COLOUR.model, width: 3, fill: `${COLOUR.model}22` });
    curve(now.logQ, { colour: COLOUR.q, width: 3.5, fill: `${COLOUR.q}33` });
    g.restore();
    path(g, [box.x, box.x + box.w], [floor, floor], { colour: COLOUR.ink, width: 1 });
    for (const z of [-3, -2, -1, 0, 1, 2, 3]) text(g, number(z, 0), to(z), floor + 13, { size: 13, align: "center" });
    text(g, "z", to(3.9), floor + 13, { align: "right", bold: true });
    const spots = handles(box);
    for (const [name, [x, y]] of Object.entries(spots)) {
      circle(g, x, y, held === name ? 10 : name === "m" ? 9 : 7, COLOUR.q, "#fff", 2.5);
      circle(g, x, y, held === name ? 11 : name === "m" ? 10 : 8, "transparent", COLOUR.ink, 1);
    }
    // The legend is drawn on the side away from q.
    const side = spots.m[0] > box.x + box.w / 2 ? box.x + 8 : box.x + box.w - 148;
    [["prior P(z)", "#595959"], ["posterior P(z|x)", COLOUR.model], ["q(z|x)", COLOUR.qText]]
      .forEach(([name, colour], i) => text(g, name, side, box.y + 10 + 20 * i, { colour, size: 15, bold: true }));
  }

  function drawBars(g, box) {
    const scale = axis(g, box, lens[1], lens[2]);
    const floor = box.y + box.h;
    const w = 0.3 * box.w;
    const [x1, x2] = [box.x + 0.1 * box.w, box.x + 0.58 * box.w];
    const [bound, logPx, rec] = [now.bound, now.logPx, now.reconstruction].map(scale);
    g.save();
    g.beginPath();
    g.rect(box.x, box.y - 12, box.w, box.h + 12);
    g.clip();
    const block = (x, y0, y1, colour, name) => {
      g.fillStyle = colour;
      g.fillRect(x, y1, w, Math.max(y0 - y1, 0));
      if (y0 - y1 > 19) text(g, name, x + w / 2, (y0 + y1) / 2, { align: "center", colour: "#000", bold: true, size: 15 });
    };
    block(x1, floor, bound, COLOUR.bound, "L_b");
    block(x1, bound, logPx, COLOUR.gap, "gap");
    path(g, [x1 - 0.06 * box.w, x1 + w + 0.06 * box.w], [logPx, logPx], { colour: COLOUR.model, width: 3.5 });
    const was = scale(before());
    path(g, [x1 - 0.06 * box.w, x1 + w + 0.06 * box.w], [was, was], { colour: COLOUR.model, width: 2, dash: [3, 4] });
    if (Math.abs(was - logPx) > 12) text(g, "before", x1 + w + 0.07 * box.w, was, { colour: COLOUR.model, size: 13 });
    // L_b again, in parts: the reconstruction minus the KL divergence to the prior.
    block(x2, floor, rec, "#8FD3BF", "recon.");
    block(x2, bound, rec, "#BDBDBD", "− KL");
    path(g, [x1 + w, x2 + w], [bound, bound], { colour: COLOUR.boundText, width: 2, dash: [5, 4] });
    g.restore();
    text(g, "log P(x)", x1 + w / 2, floor + 14, { align: "center", colour: COLOUR.model, bold: true });
    text(g, "parts of L_b", x2 + w / 2, floor + 14, { align: "center", colour: COLOUR.boundText, bold: true });
  }

  function drawStrip(g, box) {
    const scale = axis(g, box, lens[3], lens[4], 3);
    const floor = box.y + box.h;
    const each = box.w / KEPT;
    g.save();
    g.beginPath();
    g.rect(box.x, box.y - 6, box.w, box.h + 6);
    g.clip();
    past.forEach((p, i) => {
      const x = box.x + (i + 0.14) * each;
      const [bound, logPx] = [scale(p.bound), scale(p.logPx)];
      g.fillStyle = COLOUR.bound;
      g.fillRect(x, bound, 0.72 * each, floor - bound);
      g.fillStyle = COLOUR.gap;
      g.fillRect(x, logPx, 0.72 * each, bound - logPx);
      path(g, [x - 0.14 * each, x + 0.86 * each], [logPx, logPx], { colour: COLOUR.model, width: 3 });
    });
    g.restore();
    past.forEach((p, i) => text(g, p.name, box.x + (i + 0.5) * each, floor + 14,
      { align: "center", size: 13, bold: i === at, colour: i > at ? "#767676" : COLOUR.ink }));
  }

  function view({ root }) {
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "application");
    const sum = element("p", { className: "sum" });
    const parts = element("p", { className: "parts" });
    const decoder = choice("P(x|z)", Object.entries(DECODERS).map(([key, d]) => [key, `${key}: N(${d.text}, ${s}²)`]), "Decoder P(x|z)",
      (value) => { stop(); set({ decoder: value }); lens = null; record("start", true); });
    const sliders = Object.fromEntries([["w", "Decoder weight w"], ["x", "Observed x"]].map(([name, label]) =>
      [name, slider(name, { min: LIMITS[name][0], max: LIMITS[name][1], step: 0.01, label,
        oninput: (value) => { stop(); set({ [name]: value }); }, onchange: () => record(name) })]));
    const presets = Object.entries(PRESETS).map(([key, p]) => button(p.text, `Preset: ${p.text}`, () => preset(key)));
    const play = playButton("Play: fit q and fit P in turn", toggle);
    const time = slider("timeline", { min: 0, max: 0, step: 1, label: "Timeline: rewind to an earlier step", oninput: go });
    time.label.className = "wide";
    root.append(
      element("div", { className: "row" }, play.button,
        button("Step", "Step: q or P, whichever is next", () => { stop(); climb(turn()); }),
        button("Reset", "Reset: back to the start", reset),
        button("fit q", "fit q: climb L_b over m and sigma", () => fit(FIT_Q), "main"),
        button("fit P", "fit P: climb L_b over w", () => fit(FIT_P), "main")),
      element("div", { className: "row" }, element("span", { textContent: "start from" }), ...presets),
      element("div", { className: "row" }, decoder.label, sliders.w.label, sliders.x.label),
      sum, parts, canvas, element("div", { className: "row" }, time.label));

    let boxes = layout(680);
    const nearest = (x, y) => {
      const far = Object.entries(handles(boxes.density)).map(([name, [a, b]]) => [Math.hypot(a - x, b - y), name]);
      const [distance, name] = far.sort((a, b) => a[0] - b[0])[0];
      if (distance < 20) return name;
      const { density } = boxes;
      // A point anywhere in the area under q catches the middle of q.
      const z = ((x - density.x) / density.w) * 8 - 4;
      const height = (Math.exp(logNormal(z, state.m, state.sigma)) / lens[0]) * density.h;
      return y < density.y + density.h && density.y + density.h - y < height ? "m" : null;
    };
    let grip = 0;               // from the middle of q to the point where it was caught
    draggable(canvas, {
      start(x, y) {
        const name = nearest(x, y);
        if (name !== null) stop();
        grip = (x / boxes.density.w) * 8 - 4 - state.m;
        held = name;
        core.redraw();
        return name;
      },
      move(name, x) {
        const z = (x / boxes.density.w) * 8 - 4;
        if (name === "m") set({ m: clamp("m", z - grip) });
        else set({ sigma: clamp("sigma", name === "right" ? z - state.m : state.m - z) });
      },
      end() { held = null; record("drag q"); },
      hover: (x, y) => ({ m: "grab", left: "ew-resize", right: "ew-resize" })[nearest(x, y)] ?? "default",
    });
    let later = 0;              // several key presses or wheel events form one action
    const nudge = (values) => {
      stop();
      set(values);
      clearTimeout(later);
      later = setTimeout(() => record("keys"), 500);
    };
    canvas.onkeydown = (event) => {
      const change = { ArrowLeft: ["m", -0.05], ArrowRight: ["m", 0.05], ArrowUp: ["sigma", 0.02],
        ArrowDown: ["sigma", -0.02] }[event.key];
      if (!change) return;
      nudge({ [change[0]]: clamp(change[0], state[change[0]] + change[1]) });
      event.preventDefault();
      event.stopPropagation();        // otherwise the notebook would move to another cell
    };
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return;    // the wheel scrolls the page unless the picture has the focus
      nudge({ sigma: clamp("sigma", state.sigma * Math.exp(-0.0006 * event.deltaY)) });
      event.preventDefault();
    }, { passive: false });

    return function paint() {
      follow();
      const { g } = prepare(canvas, (width) => (boxes = layout(width)).height);
      drawDensities(g, boxes.density);
      drawBars(g, boxes.bars);
      drawStrip(g, boxes.strip);
      play.sync(playing);
      Object.assign(time.input, { max: past.length - 1, value: at });
      time.output.textContent = `${at + 1} of ${past.length}`;
      const bold = (string, colour) => {
        const part = element("b");
        typeset(part, string);
        inColour(part, colour);
        return part;
      };
      sum.replaceChildren(
        bold(`log P(x) ${number(now.logPx)}`, COLOUR.model), " = ", bold(`L_b ${number(now.bound)}`, COLOUR.boundText), " + ",
        bold(`gap ${number(now.gap)}`, COLOUR.gapText), " nats");
      typeset(parts, `L_b = reconstruction ${number(now.reconstruction)} − KL to the prior ${number(now.kl)},` +
        ` with q = N(${number(state.m, 2)}, ${number(state.sigma, 2)}²)`);
      decoder.select.value = state.decoder;
      for (const name of ["w", "x"]) {
        sliders[name].input.value = state[name];
        sliders[name].output.textContent = number(state[name], 2);
      }
      core.describe(canvas, `q is normal with mean ${number(state.m, 2)} and sigma ` +
        `${number(state.sigma, 2)}. log P(x) ${number(now.logPx)} is L_b ${number(now.bound)} plus gap ` +
        `${number(now.gap)} nats. The left and right arrow keys move the mean; up and down change sigma.`);
      Object.assign(root.dataset, { ...state, logpx: now.logPx, bound: now.bound, gap: now.gap, kl: now.kl,
        reconstruction: now.reconstruction, busy: job !== null, playing, past: past.length, at, last: past[at].name,
        handles: JSON.stringify(handles(boxes.density)) });
    };
  }

  return { view };
}

const definition = widget(build);
export default definition;
export { numbers, climbQ, climbP };
