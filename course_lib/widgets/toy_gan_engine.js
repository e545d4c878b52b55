// The game of course_lib.toy_gan in a page without a kernel, on the players of toy_gan_players.js: the same line of x,
// the same exact measures, the same frames, and a session that answers as the kernel does.

// ---- the line of x, as in toy_gan/grid.py --------------------------------------------------------------------------

const [CELLS, FINE, POINTS] = [256, 1024, 32];

// {low, dx, p, hill, modes}: `lines` holds those of the named densities; one that is drawn is worked out here.
function lineOf(s, lines) {
  if (s.players === "dirac") {
    const p = new Float64Array(CELLS + 2);
    p[1 + CELLS / 2] = 1;
    return { low: -3.2 - 3.2 / CELLS, dx: 6.4 / CELLS, p, hill: p.map((v) => (v ? 0 : 1)), modes: 1 };
  }
  if (s.data !== "drawn") return { ...lines[s.data], p: Float64Array.from(lines[s.data].p) };
  const n = s.heights.length;
  const p = new Float64Array(CELLS + 2);
  for (let i = 0; i < CELLS * 64; i++) p[1 + (i >> 6)] += s.heights[Math.floor(((i + 0.5) * n) / (CELLS * 64))];
  const total = sum(p);
  p.forEach((v, i) => { p[i] = v / total; });
  const [hill, modes] = hills(p);
  return { low: -8, dx: 16 / CELLS, p, hill, modes };
}

// Which mode's hill each cell is part of (if of none: the number of modes), and how many modes there are. A mode is a peak
// that stands out by a tenth of the highest; its hill ends in a valley, or where p is a tenth of the peak.
function hills(p) {
  const top = Math.max(...p);
  const at = (i) => p[i] ?? 0;
  const peaks = [];
  for (let i = 0; i < p.length; i++) {
    let end = i;
    while (end + 1 < p.length && p[end + 1] === p[i]) end += 1;
    if (p[i] > at(i - 1) && p[i] > at(end + 1)) {
      const base = [-1, 1].map((by) => {
        let low = p[i];
        for (let j = i; j >= 0 && j < p.length && p[j] <= p[i]; j += by) low = Math.min(low, p[j]);
        return low;
      });
      if (p[i] - Math.max(...base) >= 0.1 * top) peaks.push(Math.floor((i + end) / 2));
    }
    i = end;
  }
  const valleys = peaks.slice(1).map((b, k) => {
    let low = peaks[k];
    for (let j = peaks[k]; j < b; j++) if (p[j] < p[low]) low = j;
    return low;
  });
  const side = Array.from(p, (_, i) => valleys.filter((v) => v <= i).length);
  const tops = Array(valleys.length + 1).fill(0);
  side.forEach((m, i) => { tops[m] = Math.max(tops[m], p[i]); });
  return [side.map((m, i) => (p[i] < 0.1 * tops[m] ? tops.length : m)), tops.length];
}

// Edges and masses of z's cells, and the z whose x is drawn; the normal's come from Python.
function noiseOf(z, normal) {
  if (z === "normal") {
    return { edges: Float64Array.from(normal.z_edges), mass: normal.z_mass, points: Float64Array.from(normal.z_points) };
  }
  return { edges: Float64Array.from({ length: FINE + 1 }, (_, i) => -1 + (2 * i) / FINE), mass: Array(FINE).fill(1 / FINE),
    points: Float64Array.from({ length: POINTS }, (_, i) => (2 * i + 1) / POINTS - 1) };
}

// The generated mass of each cell of x, and outside: each cell of z spreads its own evenly between its two edges' x.
function pushForward({ low, dx }, mass, x) {
  const q = new Float64Array(CELLS + 2);
  const cell = (v) => Math.min(Math.max(Math.floor((v - low) / dx), -1), CELLS) + 1;
  for (let j = 0; j < FINE; j++) {
    const [a, b] = x[j] < x[j + 1] ? [x[j], x[j + 1]] : [x[j + 1], x[j]];
    const [first, last] = [cell(a), cell(b)];
    if (first === last) {
      q[first] += mass[j];
      continue;
    }
    const rate = mass[j] / (b - a);
    q[first] += rate * (low + first * dx - a);
    q[last] += rate * (b - low - (last - 1) * dx);
    for (let i = first + 1; i < last; i++) q[i] += rate * dx;
  }
  return q;
}

// [mean, standard deviation] of G's points, also of those outside.
function moments(mass, x) {
  const each = (value) => sum(Float64Array.from({ length: FINE }, (_, j) => mass[j] * value((x[j] + x[j + 1]) / 2, x[j + 1] - x[j])));
  const mean = each((middle) => middle);
  return [mean, Math.sqrt(each((middle, width) => (middle - mean) ** 2 + width ** 2 / 12))];
}

// How much further out than the outer cells' middles q's mass lies, on average.
function beyond({ low, dx }, mass, x, q) {
  const high = low + CELLS * dx;
  const out = (near, far) => (near >= 0 ? (near + far) / 2 : far > 0 ? far ** 2 / (2 * (far - near)) : 0);
  const each = Float64Array.from({ length: FINE }, (_, j) => {
    const [a, b] = x[j] < x[j + 1] ? [x[j], x[j + 1]] : [x[j + 1], x[j]];
    return mass[j] * (out(a - high, b - high) + out(low - b, low - a));
  });
  return sum(each) - (dx / 2) * (q[0] + q[CELLS + 1]);
}

// ---- what the players cannot see, as in toy_gan/exact.py: p and q are masses of cells, results in nats --------------

const kl = (p, q) => sum(p.map((v, i) => (v > 0 ? v * Math.log(v / q[i]) : 0)));

function jsd(p, q) {
  const middle = p.map((v, i) => (v + q[i]) / 2);
  return (kl(p, middle) + kl(q, middle)) / 2;
}

// P − Q, the distribution functions at the right edge of each cell; rounding is no difference.
function ahead(p, q) {
  let total = 0;
  return p.map((v, i) => { total += v - q[i]; return Math.abs(total) < 1e-12 ? 0 : total; });
}

function bestCritic(p, q, dx) {
  const gap = ahead(p, q);
  const f = new Float64Array(p.length);
  for (let i = 1; i < f.length; i++) f[i] = f[i - 1] - dx * Math.sign(gap[i - 1]);
  const centre = sum(f.map((v, i) => v * (p[i] + q[i]))) / 2;
  return f.map((v) => v - centre);
}

const ends = (v) => Float64Array.of(v[0], ...v, v[v.length - 1]);

// ---- the game, as in toy_gan/game.py -------------------------------------------------------------------------------

// Changing one of these is another game, from its first step on.
const STRUCTURE = ["data", "heights", "z", "players", "width_g", "width_d", "depth_g", "depth_d", "seed", "start"];
const same = (a, b) => Object.keys(a).every((name) => JSON.stringify(a[name]) === JSON.stringify(b[name]));

// What a frame holds, in this order: numbers, then rows; the names are those of toy_gan/game.py.
const HEAD = ["step", "d_updates", "g_updates", "loss_d", "loss_g", "value", "best_value", "jsd", "kl_pq", "kl_qp", "tv",
  "w1", "accuracy", "modes", "all_modes", "mean", "std", "push", "outside", "theta", "psi"];
const ROWS = { q: CELLS, d: CELLS, d_star: CELLS, z: POINTS, x: POINTS, push_x: POINTS };

function read(frame) {
  const now = Object.fromEntries(HEAD.map((name, i) => [name, frame[i]]));
  let from = HEAD.length;
  for (const [name, length] of Object.entries(ROWS)) now[name] = frame.subarray(from, (from += length));
  return now;
}

class Game {
  constructor(settings, tables) {
    this.tables = tables;
    this.begin(settings);
  }

  begin(s) {
    const { lines, normal } = this.tables;
    Object.assign(this, { settings: s, line: lineOf(s, lines), noise: noiseOf(s.z, normal), rounds: 0, counted: 0,
      dUpdates: 0, gUpdates: 0, lossD: NaN, lossG: NaN });
    let total = 0;
    this.cdf = Float64Array.from(this.line.p.slice(0, -1), (v) => (total += v));
    if (s.players === "dirac") {
      const turn = 2 * Math.PI * uniform(s.seed, G_WEIGHTS, 0, 1)[0];
      this.g = new Mover(THETA, Float64Array.of(Math.cos(turn)));
      this.d = new Mover(PSI, Float64Array.of(Math.sin(turn)));
      return;
    }
    const [g, d] = [new MLP(s.width_g, s.depth_g), new MLP(s.width_d, s.depth_d)];
    this.g = new Mover(g, g.start(s.seed, G_WEIGHTS));
    this.d = new Mover(d, d.start(s.seed, D_WEIGHTS));
    this.g.weights[g.size - 1] += s.start;
  }

  change(values) {
    const s = { ...this.settings, ...values };
    if (s.data !== "drawn") s.heights = null;
    if (STRUCTURE.some((name) => JSON.stringify(s[name]) !== JSON.stringify(this.settings[name]))) this.begin(s);
    else this.settings = s;
  }

  step(n = 1) {
    const { d_steps, g_steps, alternating } = this.settings;
    const both = alternating ? 0 : 1;
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < d_steps - both; k++) this.updateD();
      if (both) {
        const [forD, forG] = [this.dGradient(), this.gGradient()];     // both from the weights before either moves
        this.moveD(forD);
        this.moveG(...forG);
      }
      for (let k = 0; k < g_steps - both; k++) this.updateG();
    }
  }

  updateD() { this.moveD(this.dGradient()); }

  updateG() { this.moveG(...this.gGradient()); }

  dGradient() {
    const { settings: s, d, dUpdates: step } = this;
    const n = s.batch;
    const real = this.data(step, n);
    const fake = this.g.run(this.z(D_Z, D_Z2, step, n)).out;
    const loss = LOSSES[s.loss];
    const a = d.run(real, s.r1 > 0);
    const b = d.run(fake);
    this.lossD = (sum(a.out.map(loss.real)) + sum(b.out.map(loss.fake))) / n;
    if (s.r1) this.lossD += ((s.r1 / 2) * sum(a.slope.map((v) => v * v))) / n;
    const gradient = d.pull(a, a.out.map((v) => loss.realSlope(v) / n), s.r1 ? a.slope.map((v) => (s.r1 * v) / n) : null);
    add(gradient, d.pull(b, b.out.map((v) => loss.fakeSlope(v) / n)));
    if (s.loss === "wasserstein" && s.constraint === "gradient_penalty") {
      const mix = uniform(s.seed, D_MIX, step, n);
      const c = d.run(mix.map((m, i) => m * real[i] + (1 - m) * fake[i]), true);
      this.lossD += (s.penalty * sum(c.slope.map((v) => (Math.abs(v) - 1) ** 2))) / n;
      const beta = c.slope.map((v) => (2 * s.penalty * (Math.abs(v) - 1) * Math.sign(v)) / n);
      add(gradient, d.pull(c, new Float64Array(n), beta));
    }
    return gradient;
  }

  // [for G's weights, for D's unless D is frozen]
  gGradient() {
    const { settings: s, d, g } = this;
    const n = s.batch;
    const loss = LOSSES[s.loss];
    const made = g.run(this.z(G_Z, G_Z2, this.gUpdates, n));
    const a = d.run(made.out, true);
    this.lossG = sum(a.out.map(loss.g)) / n;
    const alpha = a.out.map((v) => loss.gSlope(v) / n);
    return [g.pull(made, alpha.map((v, i) => v * a.slope[i])), s.freeze_d ? null : d.pull(a, alpha)];
  }

  moveD(gradient) {
    this.changeD(gradient);
    this.dUpdates += 1;
  }

  moveG(forG, forD) {
    const s = this.settings;
    this.g.move(forG, s.optimizer_g, s.lr_g, s.beta1, s.beta2);
    if (forD) this.changeD(forD);
    this.gUpdates += 1;
    if (this.dUpdates - this.counted < s.d_steps) return;
    this.rounds += 1;                   // G has moved after d_steps updates of D
    this.counted = this.dUpdates;
  }

  // In whoever's step: a critic that is clipped stays in its box.
  changeD(gradient) {
    const { settings: s, d } = this;
    d.move(gradient, s.optimizer_d, s.lr_d, s.beta1, s.beta2);
    if (s.loss === "wasserstein" && s.constraint === "clip") {
      d.weights = d.weights.map((v) => Math.min(Math.max(v, -s.clip), s.clip));
    }
  }

  // Real points: the inverse distribution function, straight between the cells' edges.
  data(step, n) {
    if (this.settings.players === "dirac") return new Float64Array(n);
    const { cdf, line: { low, dx } } = this;
    return uniform(this.settings.seed, D_DATA, step, n).map((u) => {
      let [a, b] = [0, CELLS];
      if (u <= cdf[0]) return low;
      while (b - a > 1) {
        const middle = (a + b) >> 1;
        if (cdf[middle] <= u) a = middle;
        else b = middle;
      }
      return low + dx * (a + (cdf[b] > cdf[a] ? Math.min((u - cdf[a]) / (cdf[b] - cdf[a]), 1) : 0));
    });
  }

  z(stream, second, step, n) {
    const { seed, z } = this.settings;
    const u = uniform(seed, stream, step, n);
    if (z === "uniform") return u.map((v) => 2 * v - 1);
    const turn = uniform(seed, second, step, n);
    return u.map((v, i) => Math.sqrt(-2 * Math.log(v)) * Math.cos(2 * Math.PI * turn[i]));     // Box and Muller
  }

  state() {
    const { settings, rounds, counted, dUpdates, gUpdates, lossD, lossG } = this;
    return { settings, rounds, counted, dUpdates, gUpdates, lossD, lossG, g: { ...this.g }, d: { ...this.d } };
  }

  restore({ g, d, ...rest }) {
    if (STRUCTURE.some((name) => JSON.stringify(rest.settings[name]) !== JSON.stringify(this.settings[name]))) {
      this.begin(rest.settings);
    }
    Object.assign(this, rest);
    Object.assign(this.g, g);
    Object.assign(this.d, d);
  }

  // One frame, as Game.frame in Python.
  frame() {
    const { settings: s, line: { p, dx, low, hill, modes }, noise: { edges, mass, points } } = this;
    const loss = LOSSES[s.loss];
    const x = this.g.run(Float64Array.of(...edges, ...points)).out;
    const q = pushForward(this.line, mass, x);
    const centres = Float64Array.from({ length: CELLS }, (_, i) => low + (i + 0.5) * dx);
    const scored = this.d.run(Float64Array.of(...centres, ...x.subarray(FINE + 1)), true);
    const push = scored.out.map((a, i) => -loss.gSlope(a) * scored.slope[i]);
    const a = scored.out.subarray(0, CELLS);
    const edge = ends(a);
    const average = (values) => sum(q.map((v, i) => v * values[i]));
    const centre = s.loss === "wasserstein" ? sum(edge.map((v, i) => v * (p[i] + q[i]))) / 2 : 0;
    const above = edge.map((v) => (Math.sign(v - centre) + 1) / 2);
    const held = (masses) => Array.from({ length: modes }, (_, m) => sum(masses.map((v, i) => (hill[i] === m ? v : 0))));
    const [due, there] = [held(p), held(q)];
    const distance = jsd(p, q);
    const w1 = sum(ahead(p, q).map(Math.abs)) * dx + (q[0] + q[CELLS + 1] ? beyond(this.line, mass, x, q) : 0);
    const best = { least_squares: -sum(p.map((v, i) => (v + q[i] > 0 ? (v * q[i]) / (v + q[i]) : 0))) / 2,
      wasserstein: w1 }[s.loss] ?? loss.floor + 2 * distance;
    const dirac = s.players === "dirac";
    const head = [this.rounds, this.dUpdates, this.gUpdates, this.lossD, this.lossG,
      -sum(p.map((v, i) => v * loss.real(edge[i]) + q[i] * loss.fake(edge[i]))), best,
      distance, kl(p, q), kl(q, p), sum(p.map((v, i) => Math.abs(v - q[i]))) / 2, w1,
      sum(p.map((v, i) => v * above[i] + q[i] * (1 - above[i]))) / 2,
      due.filter((v, m) => there[m] >= v / 4).length, modes, ...moments(mass, x),
      average(ends(push.subarray(0, CELLS)).map(Math.abs)), q[0] + q[CELLS + 1],
      dirac ? this.g.weights[0] : NaN, dirac ? this.d.weights[0] : NaN];
    const star = s.loss === "wasserstein" ? bestCritic(p, q, dx) : q.map((v, i) => p[i] / (p[i] + v));
    return Float32Array.of(...head, ...q.subarray(1, -1).map((v) => v / dx), ...a.map((v) => loss.shown(v) - centre),
      ...star.subarray(1, -1), ...points, ...x.subarray(FINE + 1), ...push.subarray(CELLS));
  }
}

const add = (to, more) => more.forEach((v, i) => { to[i] += v; });

// ---- answers, as ToyGAN.frames in toy_gan.py -------------------------------------------------------------------------

const KEPT = 600;        // moments kept; then every second one goes

class Session {
  constructor(settings, tables) {
    this.tables = tables;
    this.runs = [];
    this.begin(settings);
  }

  get settings() { return this.game.settings; }

  begin(settings) {
    this.game = new Game(settings, this.tables);
    this.moments = [];
    this.keep();
  }

  keep() {
    if (this.moments.length >= KEPT) this.moments = this.moments.filter((_, i) => i % 2 === 0);
    const frame = this.game.frame();
    this.moments.push({ frame, state: this.game.state() });
    return frame;
  }

  // The last moment that had no more updates of D and of G than these.
  seek([d, g]) {
    while (this.moments.length > 1) {
      const { dUpdates, gUpdates } = this.moments[this.moments.length - 1].state;
      if (dUpdates <= d && gUpdates <= g) break;
      this.moments.pop();
    }
    this.game.restore(this.moments[this.moments.length - 1].state);
  }

  change(values) {
    this.game.change(values);
    if (this.game.dUpdates + this.game.gUpdates === 0) this.moments = [];
    else this.moments.pop();
    return this.keep();
  }

  frames({ do: what, at, set = {}, frames = 1, steps = 1, run }) {
    const changes = Object.keys(set).length > 0;
    if (what === "keep") {
      const kept = this.moments.filter(({ state: { dUpdates, gUpdates } }) => dUpdates <= at[0] && gUpdates <= at[1]);
      this.runs.push(kept);
      return kept.map((m) => m.frame);
    }
    if (what === "forget") {
      this.runs[run] = null;
      return [this.moments[this.moments.length - 1].frame];
    }
    if (what === "load") {
      this.moments = [...this.runs[run]];
      this.game.restore(this.moments[this.moments.length - 1].state);
    }
    if (what === "reset") this.begin({ ...this.settings, ...set });
    if (["history", "load", "reset"].includes(what)) return this.moments.map((m) => m.frame);
    this.seek(at);
    const first = changes ? this.change(set) : null;
    if (what === "set") return [first ?? this.moments[this.moments.length - 1].frame];
    const began = performance.now();
    const made = first && this.moments.length === 1 ? [first] : [];
    do {
      if (what === "d") this.game.updateD();
      else if (what === "g") this.game.updateG();
      else this.game.step(steps);
      made.push(this.keep());
    } while (made.length < frames && performance.now() - began < BUSY);
    return made;
  }
}

const BUSY = 60;          // milliseconds of computing for one answer: here the page itself waits for it
