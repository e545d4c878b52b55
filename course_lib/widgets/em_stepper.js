// EMStepper: the engine, which computes the same steps as course_lib.probability.em, and the front end. A test checks
// that both engines agree. The largest half-step (2,000 points, 8 components) takes two milliseconds, so no worker is
// needed.
//
// A frame is an array of numbers: kind (0 start, 1 E, 2 M, 3 dragged), log P(x), gap, K, weights (K), means (K, 2),
// covariances (K: xx, xy, yy), responsibilities (N, K); log P(x) and the gap are averaged over the points, in nats.

const COMPONENTS = COLOUR.components;
const DARK = [0, 2, 5, 7];        // components whose numbers are white
const KIND = { R: 0, E: 1, M: 2, D: 3 };

// ---- the engine ----------------------------------------------------------------------------------------------

// Points in one dimension get y = 0, with a variance for which y has density 1, so that no result changes.
const FLAT = 1 / (2 * Math.PI);

// log weight_k + log N(x_n | mean_k, covariance_k), of shape (N, K), in one array.
function logJoint(points, theta) {
  const K = theta.weights.length;
  const out = new Float64Array(points.length * K);
  for (let k = 0; k < K; k++) {
    const [xx, xy, yy] = theta.covariances[k];
    const [mx, my] = theta.means[k];
    const det = xx * yy - xy * xy;
    const constant = Math.log(theta.weights[k]) - Math.log(2 * Math.PI) - 0.5 * Math.log(det);
    points.forEach(([x, y], n) => {
      const [dx, dy] = [x - mx, y - my];
      out[n * K + k] = constant - (0.5 * (yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy)) / det;
    });
  }
  return out;
}

function logSumExp(joint, n, K) {
  let top = -Infinity;
  for (let k = 0; k < K; k++) top = Math.max(top, joint[n * K + k]);
  let sum = 0;
  for (let k = 0; k < K; k++) sum += Math.exp(joint[n * K + k] - top);
  return top + Math.log(sum);
}

// The responsibilities P(k | x_n) under theta.
function eStep(points, theta) {
  const K = theta.weights.length;
  const joint = logJoint(points, theta);
  return joint.map((_, i) => {
    const n = Math.floor(i / K);
    return Math.exp(joint[i] - logSumExp(joint, n, K));
  });
}

// The parameters that fit best, given the responsibilities.
function mStep(points, resp, K, reg, flat) {
  const theta = { weights: [], means: [], covariances: [] };
  let total = 0;
  for (let k = 0; k < K; k++) {
    let [count, sx, sy] = [10 * Number.EPSILON, 0, 0];      // the count is never exactly 0
    points.forEach(([x, y], n) => {
      const r = resp[n * K + k];
      count += r;
      sx += r * x;
      sy += r * y;
    });
    const [mx, my] = [sx / count, sy / count];
    let [xx, xy, yy] = [0, 0, 0];
    points.forEach(([x, y], n) => {
      const r = resp[n * K + k];
      xx += r * (x - mx) * (x - mx);
      xy += r * (x - mx) * (y - my);
      yy += r * (y - my) * (y - my);
    });
    theta.weights.push(count);
    theta.means.push([mx, my]);
    theta.covariances.push([xx / count + reg, xy / count, flat ? FLAT : yy / count + reg]);
    total += count;
  }
  theta.weights = theta.weights.map((count) => count / total);
  return theta;
}

// The frame for theta and the responsibilities, with their log P(x) and gap.
function frameOf(kind, points, theta, resp) {
  const K = theta.weights.length;
  const N = points.length;
  const joint = logJoint(points, theta);
  let [logPx, gap] = [0, 0];
  for (let n = 0; n < N; n++) {
    const l = logSumExp(joint, n, K);
    logPx += l / N;
    for (let k = 0; k < K; k++) {
      const r = resp[n * K + k];
      if (r > 0) gap += (r * (Math.log(r) - (joint[n * K + k] - l))) / N;
    }
  }
  const numbers = [kind, logPx, Math.max(gap, 0), K, ...theta.weights, ...theta.means.flat(),
    ...theta.covariances.flat()];
  const frame = new Float64Array(numbers.length + N * K);
  frame.set(numbers);
  frame.set(resp, numbers.length);
  return frame;
}

function read(frame) {
  const K = frame[3];
  const pairs = (from, size) => Array.from({ length: K }, (_, k) =>
    Array.from(frame.slice(from + size * k, from + size * (k + 1))));
  return {
    kind: frame[0], logPx: frame[1], gap: frame[2], bound: frame[1] - frame[2], K,
    theta: { weights: Array.from(frame.slice(4, 4 + K)), means: pairs(4 + K, 2), covariances: pairs(4 + 3 * K, 3) },
    resp: frame.subarray(4 + 6 * K),
  };
}

class Engine {
  constructor({ points, starts, reg_covar }) {
    this.flat = points[0].length === 1;
    this.points = points.map(([x, y]) => [x, y ?? 0]);
    this.starts = starts;
    this.reg = reg_covar;
  }

  // Returns the frame after a half-step, "E" or "M".
  next(frame, letter) {
    let { theta, resp, K } = read(frame);
    if (letter === "E") resp = eStep(this.points, theta);
    else theta = mStep(this.points, resp, K, this.reg, this.flat);
    const made = frameOf(KIND[letter], this.points, theta, resp);
    if (!Number.isFinite(made[1])) throw new Error("A component has shrunk onto one point. Choose another start.");
    return made;
  }

  // Returns the frame after one mean was dragged. q does not change, so the gap opens.
  moved(frame, component, mean) {
    const { theta, resp } = read(frame);
    theta.means[component] = [mean[0], this.flat ? 0 : mean[1]];
    return frameOf(KIND.D, this.points, theta, resp);
  }

  // Returns the first frame: means at some of the points, equal weights, round covariances, and responsibilities of
  // 1/K.
  begin(k, start) {
    const N = this.points.length;
    const spread = [0, 1].map((d) => {
      const mean = this.points.reduce((sum, p) => sum + p[d], 0) / N;
      return this.points.reduce((sum, p) => sum + (p[d] - mean) ** 2, 0) / N;
    });
    const variance = (this.flat ? spread[0] : (spread[0] + spread[1]) / 2) / k;
    const means = this.starts[start % this.starts.length].slice(0, k).map((n) => this.points[n]);
    const covariances = means.map(() => [variance, 0, this.flat ? FLAT : variance]);
    const theta = { weights: means.map(() => 1 / k), means, covariances };
    return frameOf(KIND.R, this.points, theta, new Float64Array(N * k).fill(1 / k));
  }
}

// ---- the widget ----------------------------------------------------------------------------------------------

const SAID = [
  "The start. q gives every component the same share of every point, so the gap is wide. Press “E-step” or “Step”.",
  "E-step: q becomes the true responsibilities. The gap closes, and log P(x) does not change.",
  "M-step: P is fitted again with q held fixed. L_b rises, log P(x) rises by at least as much, and a gap opens.",
  "You moved P by hand with q held fixed. log P(x) may fall, and the gap opens. EM continues from here.",
];
const SETTLED = 1e-6;     // nats per point, a gain too small to be visible
const MOST = 400;         // half-steps

// `told` converts a frame to the `state` that Python reads, and `retold` converts it back. In one dimension the state
// has no y.
function told(frame, flat, step, steps) {
  const { kind, theta, resp, K, logPx, bound, gap } = read(frame);
  const matrix = ([xx, xy, yy]) => (flat ? [[xx]] : [[xx, xy], [xy, yy]]);
  return { kind: ["start", "E", "M", "dragged"][kind], step, steps, log_px: logPx, bound, gap, weights: theta.weights,
    means: theta.means.map(([x, y]) => (flat ? [x] : [x, y])), covariances: theta.covariances.map(matrix),
    responsibilities: Array.from({ length: resp.length / K }, (_, n) => Array.from(resp.slice(n * K, (n + 1) * K))) };
}

function retold({ kind, weights, means, covariances, responsibilities }, { points, flat }) {
  const theta = { weights, means: means.map(([x, y]) => [x, y ?? 0]),
    covariances: covariances.map(([[xx, xy], row]) => (flat ? [xx, 0, FLAT] : [xx, xy, row[1]])) };
  const number = ["start", "E", "M", "dragged"].indexOf(kind);
  return frameOf(number, points, theta, Float64Array.from(responsibilities.flat()));
}

function build(core) {
  const setting = Object.fromEntries(["points", "starts", "reg_covar"].map((name) => [name, core.get(name)]));
  const engine = new Engine(setting);
  const { points, flat } = engine;
  const first = () => engine.begin(core.get("n_components"), core.get("start"));
  const kept = core.get("state");   // set if this page was loaded before
  let history = [kept.weights ? retold(kept, engine) : first()];
  let at = 0;
  let shown = history[0];           // what is drawn: a frame, or a blend of two
  let [from, to, part, duration] = [shown, shown, 1, 0];
  let speed = 2;
  let held = null;                  // the mean that is being dragged
  let picked = 0;                   // the mean that the arrow keys move
  let lens = null;                  // the range of the bar's axis, which follows the numbers smoothly

  // Moves smoothly from what is drawn to a frame, or at once with reduced motion.
  function glide(frame, wanted) {
    const seconds = CALM.matches ? 0 : wanted;
    const job = duration > 0;
    [from, to, part, duration] = [shown, frame, 0, from.length === frame.length ? seconds : 0];
    if (from.length !== frame.length || seconds === 0) [shown, part, duration] = [frame, 1, 0];
    else if (!job) core.run(tween);
    core.redraw();
  }

  function tween(seconds) {
    if (duration === 0) return false;
    part = Math.min(1, part + seconds / duration);
    const ease = part * part * (3 - 2 * part);
    shown = part === 1 ? to : from.map((value, i) => value + ease * (to[i] - value));
    core.redraw();
    if (part === 1) duration = 0;
    return part < 1;
  }

  function settle(message) {
    core.say(message ?? SAID[history[at][0]]);
    core.share({ state: told(history[at], flat, at, history.length - 1) });
  }

  function go(place, seconds = 0.15) {
    at = Math.min(Math.max(place, 0), history.length - 1);
    glide(history[at], seconds);
    settle();
  }

  // The half-step whose turn it is.
  const turn = () => (history[at][0] === KIND.E ? "M" : "E");

  // Appends the frame after a half-step to the frame that is shown, in place of any later frames.
  function append(letter) {
    history = [...history.slice(0, at + 1), engine.next(history[at], letter)];
    at += 1;
  }

  function step(letter) {
    player.pause();
    try {
      append(letter);
      go(at, 0.5);
    } catch (error) {
      core.say(error.message, true);
    }
  }
  const next = () => step(turn());

  const player = new Player(core, { rate: speed, tick() {
    try {
      append(turn());
    } catch (error) {
      player.pause();
      core.say(error.message, true);
      return;
    }
    const frame = history[at];
    glide(frame, speed > 20 ? 0 : 0.7 / speed);
    const before = history.slice(0, at).findLast((f) => f[0] === frame[0]);
    const settled = frame[0] === KIND.M && before && Math.abs(frame[1] - before[1]) < SETTLED;
    if (!settled && at < MOST) return core.say(SAID[frame[0]]);
    player.pause();
    settle(settled ? "Converged: another E-step and M-step would gain less than a millionth of a nat per point."
      : `Stopped after ${MOST} half-steps.`);
  } });

  function toggle() {
    if (player.playing) {
      player.pause();
      settle();
    } else if (at < MOST) player.play();
  }

  function begin(frame) {
    player.pause();
    history = [frame];
    lens = null;
    go(0, 0);
  }
  const moveMean = (component, mean) => begin(engine.moved(history[at], component, mean));

  // Starts again, with another number of components or another start if given.
  function restart(traits = {}) {
    core.share(traits);
    begin(engine.begin(core.get("n_components"), core.get("start")));
  }
  const K = () => history[0][3];
  core.heed("n_components", () => restart());
  core.heed("start", () => restart());
  core.heed("reg_covar", () => { engine.reg = core.get("reg_covar"); });
  core.say(SAID[history[0][0]]);

  // -- what each view shows

  const range = (d) => {
    const values = points.map((p) => p[d]);
    const [lo, hi] = [Math.min(...values), Math.max(...values)];
    return [lo - 0.12 * (hi - lo), hi + 0.12 * (hi - lo)];
  };
  const [rangeX, rangeY] = [range(0), flat ? [0, 1] : range(1)];
  const rgb = COMPONENTS.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));

  // The colour of a point: the colours of the components, mixed in proportion to its responsibilities.
  function blend(resp, n, K) {
    const mixed = [0, 1, 2].map((c) => {
      let sum = 0;
      for (let k = 0; k < K; k++) sum += resp[n * K + k] * rgb[k][c];
      return Math.min(255, Math.round(sum));
    });
    return `rgb(${mixed})`;
  }

  // The shape of a point: that of the component with a responsibility above one half, or a circle if there is none.
  function leader(resp, n, K) {
    for (let k = 0; k < K; k++) if (resp[n * K + k] > 0.5) return K > 1 ? k + 1 : 0;
    return 0;
  }

  // Maps between coordinates and pixels of the panel of points. In two dimensions both axes have the same scale.
  function plane({ x, y, w, h }) {
    const perX = w / (rangeX[1] - rangeX[0]);
    const perY = h / (rangeY[1] - rangeY[0]);
    const [sx, sy] = flat ? [perX, perY] : [Math.min(perX, perY), Math.min(perX, perY)];
    const [cx, cy] = [(rangeX[0] + rangeX[1]) / 2, (rangeY[0] + rangeY[1]) / 2];
    return {
      to: ([a, b]) => [x + w / 2 + (a - cx) * sx, y + h / 2 - (b - cy) * sy],
      back: ([a, b]) => [cx + (a - x - w / 2) / sx, cy - (b - y - h / 2) / sy],
    };
  }

  const density = (x, [mx], [xx]) => Math.exp((-0.5 * (x - mx) ** 2) / xx) / Math.sqrt(2 * Math.PI * xx);

  function drawPoints(g, box, now) {
    const { to: place } = plane(box);
    const { theta, K, resp } = now;
    g.save();
    g.beginPath();
    g.rect(box.x, box.y, box.w, box.h);
    g.clip();
    if (flat) {
      const floor = box.y + box.h - 60;
      const xs = Array.from({ length: 241 }, (_, i) => rangeX[0] + (i / 240) * (rangeX[1] - rangeX[0]));
      const parts = theta.means.map((m, k) => xs.map((x) => theta.weights[k] * density(x, m, theta.covariances[k])));
      const whole = xs.map((_, i) => parts.reduce((sum, p) => sum + p[i], 0));
      const tall = (box.h - 84) / Math.max(...whole);
      const across = xs.map((x) => place([x, 0])[0]);
      path(g, across, whole.map((v) => floor - tall * v), { colour: COLOUR.model, width: 3 });
      parts.forEach((p, k) => path(g, across, p.map((v) => floor - tall * v),
        { colour: COMPONENTS[k], width: 2, fill: COMPONENTS[k] + "33", floor }));
      path(g, [box.x, box.x + box.w], [floor, floor], { colour: COLOUR.ink, width: 1 });
      // Points are spread a little vertically, always in the same way.
      points.forEach(([x], n) => mark(g, leader(resp, n, K), place([x, 0])[0], floor + 14 + ((n * 37) % 41), 3.5,
        blend(resp, n, K), COLOUR.ink, 0.5));
      text(g, "P(x) and its components", box.x + 4, box.y + 12, { colour: COLOUR.model });
    } else {
      points.forEach((p, n) => mark(g, leader(resp, n, K), ...place(p), 4.2, blend(resp, n, K), COLOUR.ink, 0.6));
      const turn = Array.from({ length: 73 }, (_, i) => (i * Math.PI) / 36);
      theta.covariances.forEach(([xx, xy, yy], k) => {
        // The Cholesky factor maps the unit circle to the ellipse.
        const a = Math.sqrt(xx);
        const b = xy / a;
        const c = Math.sqrt(Math.max(yy - b * b, 0));
        for (const [radius, width] of [[1, 3], [2, 1.6]]) {
          const ring = turn.map((t) => place([theta.means[k][0] + radius * a * Math.cos(t),
            theta.means[k][1] + radius * (b * Math.cos(t) + c * Math.sin(t))]));
          for (const [colour, extra] of [["#333333", 1.4], [COMPONENTS[k], 0]]) {
            path(g, ring.map((p) => p[0]), ring.map((p) => p[1]), { colour, width: width + extra });
          }
        }
      });
    }
    theta.means.forEach((mean, k) => {
      const [x, y] = handle(box, mean);
      const shape = now.K > 1 ? k + 1 : 0;
      mark(g, shape, x, y, k === held ? 14 : 12, "#fff", COLOUR.ink, 1.2);
      mark(g, shape, x, y, k === held ? 12 : 10, COMPONENTS[k], COLOUR.ink, 0.6);
      text(g, String(k + 1), x, y + 0.5, { align: "center", size: 13, bold: true, colour: DARK.includes(k) ? "#fff" : "#000" });
    });
    g.restore();
    g.strokeStyle = COLOUR.faint;
    g.strokeRect(box.x + 0.5, box.y + 0.5, box.w - 1, box.h - 1);
  }

  // The position where a mean is drawn and can be caught.
  const handle = (box, mean) => (flat ? [plane(box).to(mean)[0], box.y + box.h - 60] : plane(box).to(mean));

  function drawBar(g, box, now) {
    const recent = history.slice(Math.max(0, at - 1), at + 1);
    const values = [now.logPx, now.bound, ...recent.flatMap((f) => [f[1], f[1] - f[2]])];
    const hi = Math.max(...values);
    const lo = Math.min(Math.min(...values), hi - 0.06);
    const wanted = [lo - 0.35 * (hi - lo), hi + 0.1 * (hi - lo)];
    lens = lens ? lens.map((v, i) => v + 0.2 * (wanted[i] - v)) : wanted;
    const left = Math.abs(lens[0] - wanted[0]) + Math.abs(lens[1] - wanted[1]);
    if (left > 0.002 * (hi - lo) && !CALM.matches) core.dirty = true;
    else lens = wanted;
    const scale = axis(g, box, lens[0], lens[1]);
    const [x, w] = [box.x + 0.18 * box.w, 0.64 * box.w];
    const [floor, middle, top] = [box.y + box.h, scale(now.bound), scale(now.logPx)];
    g.save();
    g.beginPath();
    g.rect(box.x, box.y - 4, box.w, box.h + 4);
    g.clip();
    g.fillStyle = COLOUR.bound;
    g.fillRect(x, middle, w, floor - middle);
    g.fillStyle = COLOUR.gap;
    g.fillRect(x, top, w, middle - top);
    path(g, [x - 8, x + w + 8], [top, top], { colour: COLOUR.model, width: 3 });
    if (floor - middle > 24) {
      text(g, "L_b", x + w / 2, Math.max(middle, box.y) + 14, { align: "center", colour: "#000", bold: true });
    }
    if (middle - top > 20) {
      text(g, "gap", x + w / 2, (middle + top) / 2, { align: "center", colour: "#000", bold: true });
    }
    g.restore();
    text(g, "nats per point", box.x - 46, box.y - 16, { size: 13 });
  }

  function drawCurve(g, box) {
    const logs = history.map((f) => f[1]);
    const hi = Math.max(...logs);
    const rise = Math.max(hi - Math.min(...logs), 0.2);
    const scale = axis(g, box, hi - 1.6 * rise, hi + 0.12 * rise);
    const last = Math.max(history.length - 1, 4);
    const across = (i) => box.x + 8 + (i / last) * (box.w - 16);
    g.save();
    g.beginPath();
    g.rect(box.x, box.y, box.w, box.h);
    g.clip();
    path(g, [across(at), across(at)], [box.y, box.y + box.h], { colour: COLOUR.ink, width: 1, dash: [4, 4] });
    const places = history.map((_, i) => across(i));
    path(g, places, history.map((f) => scale(f[1] - f[2])), { colour: COLOUR.bound });
    path(g, places, logs.map(scale), { colour: COLOUR.model, width: 3 });
    circle(g, across(at), scale(shown[1]), 6, COLOUR.model, "#fff", 1.5);
    circle(g, across(at), scale(shown[1] - shown[2]), 5, COLOUR.bound, "#fff", 1.5);
    g.restore();
    text(g, "log P(x)", box.x + box.w, box.y - 16, { colour: COLOUR.model, align: "right", bold: true });
    text(g, "L_b", box.x + box.w - 74, box.y - 16, { colour: COLOUR.boundText, align: "right", bold: true });
    text(g, "half-steps", box.x + box.w, box.y + box.h + 14, { align: "right", size: 13 });
    text(g, "0", across(0), box.y + box.h + 14, { align: "center", size: 13 });
    return { across, last };
  }

  function layout(width) {
    if (width >= 540) {
      const h = Math.max(290, Math.min(440, 0.44 * width));
      const left = Math.round(0.48 * width);
      const right = width - left;
      const bar = Math.max(74, 0.2 * right);
      return {
        height: h,
        points: { x: 0, y: 0, w: left, h },
        bar: { x: left + 66, y: 32, w: bar, h: h - 62 },
        curve: { x: left + 66 + bar + 60, y: 32, w: right - 66 - bar - 62, h: h - 62 },
      };
    }
    return {
      height: 560,
      points: { x: 0, y: 0, w: width, h: 320 },
      bar: { x: 52, y: 352, w: 0.2 * width, h: 180 },
      curve: { x: 52 + 0.2 * width + 58, y: 352, w: 0.8 * width - 114, h: 180 },
    };
  }

  function view({ root }) {
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "application");
    const sum = element("p", { className: "sum" });
    const play = playButton("Play: E and M in turn", toggle);
    const k = choice("components", Array.from({ length: 8 }, (_, i) => [i + 1, i + 1]), "Number of components",
      (value) => restart({ n_components: Number(value) }));
    const fast = choice("speed", [[2, "× 1"], [6, "× 3"], [30, "× 15"]], "Speed: steps per second",
      (value) => { player.rate = speed = Number(value); });
    const time = slider("timeline", { min: 0, max: 0, step: 1, label: "Timeline: rewind to an earlier half-step",
      oninput: (value) => { player.pause(); go(value); } });
    time.label.className = "wide";
    root.append(
      element("div", { className: "row" }, play.button, button("Step", "Step: E or M, whichever is next", next),
        button("Reset", "Reset: back to the same start", () => restart()),
        button("E-step", "E-step: compute the responsibilities", () => step("E"), "main"),
        button("M-step", "M-step: fit the components", () => step("M"), "main"),
        button("New start", "New start: from other points",
          () => restart({ start: (core.get("start") + 1) % setting.starts.length })), fast.label, k.label),
      sum, canvas, element("div", { className: "row" }, time.label));

    let boxes = layout(680);
    const catchMean = (x, y) => {
      const means = read(history[at]).theta.means;
      const far = means.map((m) => { const [a, b] = handle(boxes.points, m); return Math.hypot(a - x, b - y); });
      const best = far.indexOf(Math.min(...far));
      return far[best] < 18 ? best : null;
    };
    const onCurve = (x, y) => {
      const { curve } = boxes;
      return x > curve.x && x < curve.x + curve.w && y > curve.y && y < curve.y + curve.h;
    };
    let target = null;
    draggable(canvas, {
      start(x, y) {
        const caught = catchMean(x, y);
        if (caught !== null) {
          player.pause();
          [held, picked, target] = [caught, caught, null];
          core.say(SAID[3]);
        } else if (onCurve(x, y)) {
          player.pause();
          const last = Math.max(history.length - 1, 4);
          go(Math.round(((x - boxes.curve.x - 8) / (boxes.curve.w - 16)) * last));
        }
        return caught;
      },
      move(caught, x, y) {
        const { x: left, y: top, w, h } = boxes.points;
        target = plane(boxes.points).back([Math.min(Math.max(x, left), left + w), Math.min(Math.max(y, top), top + h)]);
        glide(engine.moved(history[at], caught, target), 0);
      },
      end(caught) {
        held = null;
        if (target) moveMean(caught, target);
      },
      hover: (x, y) => (catchMean(x, y) !== null ? "grab" : onCurve(x, y) ? "pointer" : "default"),
    });
    canvas.onkeydown = (event) => {
      const now = read(history[at]);
      const unit = (rangeX[1] - rangeX[0]) / 50;
      const by = { ArrowLeft: [-unit, 0], ArrowRight: [unit, 0], ArrowUp: [0, unit], ArrowDown: [0, -unit] }[event.key];
      if (event.key >= "1" && event.key <= String(now.K)) picked = Number(event.key) - 1;
      else if (by && picked < now.K) moveMean(picked, now.theta.means[picked].map((v, d) => v + by[d]));
      else if (event.key === "s") next();
      else if (event.key === "e" || event.key === "m") step(event.key.toUpperCase());
      else if (event.key === " ") toggle();
      else return;
      event.preventDefault();
      event.stopPropagation();        // otherwise the notebook would take the key as its own command
    };

    return function paint() {
      const { g } = prepare(canvas, (width) => (boxes = layout(width)).height);
      const now = read(shown);
      drawPoints(g, boxes.points, now);
      drawBar(g, boxes.bar, now);
      drawCurve(g, boxes.curve);
      const parts = [["log P(x)", now.logPx, COLOUR.model], ["L_b", now.bound, COLOUR.boundText], ["gap", now.gap, COLOUR.gapText]];
      sum.replaceChildren(...parts.flatMap(([name, value, colour], i) => {
        const part = element("b");
        typeset(part, `${name} ${number(value, 4)}`);
        inColour(part, colour);
        return [["", " = ", " + "][i], part];
      }), " nats per point");
      play.sync(player.playing);
      Object.assign(time.input, { max: history.length - 1, value: at });
      time.output.textContent = `${at} of ${history.length - 1}`;
      k.select.value = K();
      fast.select.value = speed;
      const goal = read(to);          // the target of the motion, because intermediate values need not be read out
      core.describe(canvas, `${points.length} points and ${now.K} components after ${at} half-steps. ` +
        `log P(x) ${number(goal.logPx)} is L_b ${number(goal.bound)} plus gap ${number(goal.gap)} nats per point. ` +
        `Keys: s, e and m take a step; space plays; a digit selects a component; the arrow keys move it.`);
      Object.assign(root.dataset, { kind: history[at][0], step: at, steps: history.length - 1, k: now.K,
        logpx: history[at][1], gap: history[at][2], playing: player.playing, shown: now.logPx, start: core.get("start"),
        means: JSON.stringify(now.theta.means),
        handles: JSON.stringify(now.theta.means.map((m) => handle(boxes.points, m))) });
    };
  }

  return { view };
}

const definition = widget(build);
export default definition;
export { Engine, told, retold };
