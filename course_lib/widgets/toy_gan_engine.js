// The game of course_lib.toy_gan with the players of toy_gan_players.js: the same line of x, the same exact measures,
// and the same frames. `start(tables)` returns the engine, a function from a moment of a game to the moments that
// follow. The engine stores no past moments. They are stored only in the page, so a rewind needs no special treatment.
//
// This file, too, is one function, because its source code is also the program of a worker. The page uses the functions
// that it returns.

function toyGanEngine() {
  const { STREAMS, uniform, Pass, MLP, THETA, PSI, Player, LOSSES } = toyGanPlayers();

  // ---- the line of x, as in toy_gan/grid.py --------------------------------------------------------------------

  const [CELLS, FINE, POINTS] = [256, 1024, 32];

  // Returns {low, dx, p, hill, modes}, from `lines` for a named density; those of a drawn density are computed here.
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
    const all = sum(p);
    p.forEach((v, i) => { p[i] = v / all; });
    const [hill, modes] = hills(p);
    return { low: -8, dx: 16 / CELLS, p, hill, modes };
  }

  // Returns, for each cell, the mode to whose hill the cell belongs (the number of modes if none), and the number of
  // modes. A mode is a peak whose prominence is at least a tenth of the highest peak. Its hill ends at a valley, or
  // where p falls below a tenth of the mode's peak.
  function hills(p) {
    const peaks = peaksOf(p);
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

  function peaksOf(p) {
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
    return peaks;
  }

  // The edges and masses of the cells of z, and the z for which x is drawn. Those of normal noise come from Python.
  function noiseOf(z, normal) {
    if (z === "normal") {
      return { edges: Float64Array.from(normal.z_edges), mass: normal.z_mass, points: Float64Array.from(normal.z_points) };
    }
    return { edges: Float64Array.from({ length: FINE + 1 }, (_, i) => -1 + (2 * i) / FINE), mass: Array(FINE).fill(1 / FINE),
      points: Float64Array.from({ length: POINTS }, (_, i) => (2 * i + 1) / POINTS - 1) };
  }

  // The generated mass in each cell of x and outside. Each cell of z spreads its mass evenly between the x of its
  // edges.
  function pushForward({ low, dx }, mass, x) {
    const q = new Float64Array(CELLS + 2);
    const cell = (v) => Math.min(Math.max(Math.floor((v - low) / dx), -1), CELLS) + 1;
    for (let j = 0; j < FINE; j++) {
      const a = Math.min(x[j], x[j + 1]);
      const b = Math.max(x[j], x[j + 1]);
      const first = cell(a);
      const last = cell(b);
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

  // [mean, standard deviation] of G's points, including those outside.
  function moments(mass, x) {
    let mean = 0;
    for (let j = 0; j < FINE; j++) mean += (mass[j] * (x[j] + x[j + 1])) / 2;
    let variance = 0;
    for (let j = 0; j < FINE; j++) {
      const [middle, width] = [(x[j] + x[j + 1]) / 2, x[j + 1] - x[j]];
      variance += mass[j] * ((middle - mean) ** 2 + width ** 2 / 12);
    }
    return [mean, Math.sqrt(variance)];
  }

  // The mean distance of the mass of q beyond the middles of the outer cells.
  function beyond({ low, dx }, mass, x, q) {
    const high = low + CELLS * dx;
    const out = (near, far) => (near >= 0 ? (near + far) / 2 : far > 0 ? far ** 2 / (2 * (far - near)) : 0);
    let all = 0;
    for (let j = 0; j < FINE; j++) {
      const [a, b] = [Math.min(x[j], x[j + 1]), Math.max(x[j], x[j + 1])];
      all += mass[j] * (out(a - high, b - high) + out(low - b, low - a));
    }
    return all - (dx / 2) * (q[0] + q[CELLS + 1]);
  }

  // ---- exact measures, as in toy_gan/exact.py: p and q are masses of cells, results are in nats ----------------

  function sum(values) {
    let all = 0;
    for (let i = 0; i < values.length; i++) all += values[i];
    return all;
  }

  const kl = (p, q) => sum(p.map((v, i) => (v > 0 ? v * Math.log(v / q[i]) : 0)));

  function jsd(p, q) {
    const middle = p.map((v, i) => (v + q[i]) / 2);
    return (kl(p, middle) + kl(q, middle)) / 2;
  }

  // P − Q, the difference of the distribution functions at the right edge of each cell. Rounding errors count as 0.
  function ahead(p, q) {
    let all = 0;
    return p.map((v, i) => {
      all += v - q[i];
      return Math.abs(all) < 1e-12 ? 0 : all;
    });
  }

  function bestCritic(p, q, dx) {
    const gap = ahead(p, q);
    const f = new Float64Array(p.length);
    for (let i = 1; i < f.length; i++) f[i] = f[i - 1] - dx * Math.sign(gap[i - 1]);
    const centre = sum(f.map((v, i) => v * (p[i] + q[i]))) / 2;
    return f.map((v) => v - centre);
  }

  // V(D*, G).
  function bestValue(loss, p, q, distance, w1) {
    if (loss === "wasserstein") return w1;
    if (loss === "least_squares") return -sum(p.map((v, i) => (v + q[i] > 0 ? (v * q[i]) / (v + q[i]) : 0))) / 2;
    return LOSSES[loss].floor + 2 * distance;
  }

  const ends = (v) => Float64Array.of(v[0], ...v, v[v.length - 1]);

  // ---- the game, as in toy_gan/game.py -------------------------------------------------------------------------

  // Changing one of these settings starts a new game.
  const STRUCTURE = ["data", "heights", "z", "players", "width_g", "width_d", "depth_g", "depth_d", "seed", "start"];
  const alike = (a, b, name) => JSON.stringify(a[name] ?? null) === JSON.stringify(b[name] ?? null);
  const restarts = (a, b) => STRUCTURE.some((name) => !alike(a, b, name));

  // The contents of a frame, in this order: numbers, then rows. The names are those of toy_gan/game.py.
  const HEAD = ["step", "d_updates", "g_updates", "loss_d", "loss_g", "value", "best_value", "jsd", "kl_pq", "kl_qp", "tv",
    "w1", "accuracy", "modes", "all_modes", "mean", "std", "push", "outside", "theta", "psi"];
  const ROWS = { q: CELLS, d: CELLS, d_star: CELLS, z: POINTS, x: POINTS, push_x: POINTS };
  const SIZE = HEAD.length + Object.values(ROWS).reduce((a, b) => a + b);

  function read(frame) {
    const now = Object.fromEntries(HEAD.map((name, i) => [name, frame[i]]));
    let from = HEAD.length;
    for (const [name, length] of Object.entries(ROWS)) now[name] = frame.subarray(from, (from += length));
    return now;
  }

  class Game {
    constructor(settings, { lines, normal }) {
      const s = settings;
      Object.assign(this, { settings: s, line: lineOf(s, lines), noise: noiseOf(s.z, normal), rounds: 0, counted: 0,
        dUpdates: 0, gUpdates: 0, lossD: NaN, lossG: NaN });
      let all = 0;
      this.cdf = Float64Array.from(this.line.p.slice(0, -1), (v) => (all += v));
      this.begin(s);
      this.pleasing = new Float64Array(this.d.network.size);     // D's gradient in G's step, if D is not frozen
      this.look();
      this.fit(s.batch);
    }

    // Creates the players before their first step.
    begin(s) {
      const { G_WEIGHTS, D_WEIGHTS } = STREAMS;
      if (s.players === "dirac") {
        const turn = 2 * Math.PI * uniform(s.seed, G_WEIGHTS, 0, new Float64Array(1))[0];
        this.g = new Player(THETA, Float64Array.of(Math.cos(turn)));
        this.d = new Player(PSI, Float64Array.of(Math.sin(turn)));
        return;
      }
      const [g, d] = [new MLP(s.width_g, s.depth_g), new MLP(s.width_d, s.depth_d)];
      this.g = new Player(g, g.start(s.seed, G_WEIGHTS));
      this.d = new Player(d, d.start(s.seed, D_WEIGHTS));
      this.g.weights[g.size - 1] += s.start;
    }

    // Allocates the arrays for a step with batches of n points. D's batch has the real points, then the generated ones.
    fit(n) {
      if (this.n === n) return;
      const [g, d] = [this.g.network, this.d.network];
      Object.assign(this, { n, made: new Pass(g, n), judged: new Pass(d, 2 * n), single: new Pass(d, n) });
      this.real = this.judged.x.subarray(0, n);
      this.fake = this.judged.x.subarray(n, 2 * n);
      this.noises = [0, 1].map(() => new Float64Array(n));
      const { room } = this.judged;
      Object.assign(this, { alpha: new Float64Array(room), beta: new Float64Array(room) });
      Object.assign(this, { alphaG: new Float64Array(this.made.room), betaG: new Float64Array(this.made.room) });
    }

    // Allocates the arrays for a frame.
    look() {
      const { edges, points } = this.noise;
      const { low, dx } = this.line;
      this.all = new Pass(this.g.network, FINE + 1 + POINTS);
      this.all.x.set(edges);
      this.all.x.set(points, FINE + 1);
      this.seen = new Pass(this.d.network, CELLS + POINTS);
      for (let i = 0; i < CELLS; i++) this.seen.x[i] = low + (i + 0.5) * dx;
    }

    step(n = 1) {
      const { d_steps, g_steps, alternating } = this.settings;
      const both = alternating ? 0 : 1;
      for (let i = 0; i < n; i++) {
        for (let k = 0; k < d_steps - both; k++) this.updateD();
        if (both) {
          this.dGradient();             // both gradients use the weights before either player moves
          this.gGradient();
          this.moveD();
          this.moveG();
        }
        for (let k = 0; k < g_steps - both; k++) this.updateG();
      }
    }

    updateD() {
      this.dGradient();
      this.moveD();
    }

    updateG() {
      this.gGradient();
      this.moveG();
    }

    dGradient() {
      const { settings: s, g, d, n, made, judged, alpha, beta } = this;
      const loss = LOSSES[s.loss];
      this.draw(this.real);
      this.z(STREAMS.D_Z, STREAMS.D_Z2, this.dUpdates, made.x);
      g.run(made);
      this.fake.set(made.out.subarray(0, n));
      d.run(judged, s.r1 > 0);
      const { out, slope } = judged;
      let lost = 0;
      for (let i = 0; i < n; i++) {
        lost += loss.real(out[i]) + loss.fake(out[n + i]);
        alpha[i] = loss.realSlope(out[i]) / n;
        alpha[n + i] = loss.fakeSlope(out[n + i]) / n;
      }
      for (let i = 0; s.r1 > 0 && i < n; i++) {
        lost += (s.r1 / 2) * slope[i] * slope[i];
        beta[i] = (s.r1 * slope[i]) / n;
      }
      this.lossD = lost / n;
      d.pull(judged, alpha, s.r1 > 0 ? beta : null);
      if (s.loss === "wasserstein" && s.constraint === "gradient_penalty") this.smooth();
    }

    // Adds the penalty that pulls the slope of the critic towards 1 between real and generated points.
    smooth() {
      const { settings: s, d, n, real, fake, single, alphaG, betaG } = this;
      const mix = uniform(s.seed, STREAMS.D_MIX, this.dUpdates, this.noises[0]);
      for (let i = 0; i < n; i++) single.x[i] = mix[i] * real[i] + (1 - mix[i]) * fake[i];
      d.run(single, true);
      let lost = 0;
      for (let i = 0; i < n; i++) {
        const slope = single.slope[i];
        const off = Math.abs(slope) - 1;
        lost += s.penalty * off * off;
        betaG[i] = (2 * s.penalty * off * Math.sign(slope)) / n;
      }
      this.lossD += lost / n;
      d.pull(single, alphaG.fill(0), betaG);
    }

    gGradient() {
      const { settings: s, g, d, n, made, single, alphaG, betaG } = this;
      const loss = LOSSES[s.loss];
      this.z(STREAMS.G_Z, STREAMS.G_Z2, this.gUpdates, made.x);
      g.run(made);
      single.x.set(made.out);
      d.run(single, true);
      const { out, slope } = single;
      let lost = 0;
      for (let i = 0; i < n; i++) {
        lost += loss.g(out[i]);
        alphaG[i] = loss.gSlope(out[i]) / n;
        betaG[i] = alphaG[i] * slope[i];          // through D, which is frozen, to x
      }
      this.lossG = lost / n;
      g.pull(made, betaG);
      if (!s.freeze_d) d.pull(single, alphaG, null, this.pleasing);
    }

    moveD(gradient = this.d.gradient) {
      this.changeD(gradient);
      this.dUpdates += 1;
    }

    moveG() {
      const s = this.settings;
      this.g.move(this.g.gradient, s.optimizer_g, s.lr_g, s.beta1, s.beta2);
      if (!s.freeze_d) this.changeD(this.pleasing);
      this.gUpdates += 1;
      if (this.dUpdates - this.counted < s.d_steps) return;
      this.rounds += 1;                 // G has moved after d_steps updates of D
      this.counted = this.dUpdates;
    }

    // Moves D, in the step of either player, and clips its weights if weight clipping is selected.
    changeD(gradient) {
      const { settings: s, d } = this;
      d.move(gradient, s.optimizer_d, s.lr_d, s.beta1, s.beta2);
      if (s.loss !== "wasserstein" || s.constraint !== "clip") return;
      for (let i = 0; i < d.weights.length; i++) d.weights[i] = Math.min(Math.max(d.weights[i], -s.clip), s.clip);
    }

    // Fills `real` with points drawn from the data, by default those of D's next step.
    draw(real, step = this.dUpdates) {
      if (this.settings.players === "dirac") return real.fill(0);
      uniform(this.settings.seed, STREAMS.D_DATA, step, real);
      for (let i = 0; i < real.length; i++) real[i] = this.quantile(real[i]);
      return real;
    }

    // The inverse distribution function, linear between the edges of the cells.
    quantile(u) {
      const { cdf, line: { low, dx } } = this;
      if (u <= cdf[0]) return low;
      let a = 0;
      let b = CELLS;
      while (b - a > 1) {
        const middle = (a + b) >> 1;
        if (cdf[middle] <= u) a = middle;
        else b = middle;
      }
      return low + dx * (a + (cdf[b] > cdf[a] ? Math.min((u - cdf[a]) / (cdf[b] - cdf[a]), 1) : 0));
    }

    // Fills the first n elements of `out` with z: uniform on ±1, or normal by the Box–Muller transform.
    z(stream, second, step, out) {
      const { seed, z } = this.settings;
      const [u, turn] = this.noises;
      uniform(seed, stream, step, u);
      if (z === "normal") uniform(seed, second, step, turn);
      for (let i = 0; i < u.length; i++) {
        out[i] = z === "uniform" ? 2 * u[i] - 1 : Math.sqrt(-2 * Math.log(u[i])) * Math.cos(2 * Math.PI * turn[i]);
      }
    }

    // Everything on which the next step depends except the settings, as one array.
    state() {
      const { rounds, counted, dUpdates, gUpdates, lossD, lossG, g, d } = this;
      const counts = [rounds, counted, dUpdates, gUpdates, lossD, lossG, g.t, d.t];
      return Float64Array.of(...counts, ...g.weights, ...g.m, ...g.v, ...d.weights, ...d.m, ...d.v);
    }

    // Restores a state, with these settings. The same rounds follow as before.
    restore(state, settings) {
      this.settings = settings;
      this.fit(settings.batch);
      const { g, d } = this;
      [this.rounds, this.counted, this.dUpdates, this.gUpdates, this.lossD, this.lossG, g.t, d.t] = state;
      let from = 8;
      for (const part of [g.weights, g.m, g.v, d.weights, d.m, d.v]) part.set(state.subarray(from, (from += part.length)));
      for (const gradient of [g.gradient, d.gradient, this.pleasing]) gradient.fill(0);   // not 0 after a failed step
    }

    // One frame, as in Game.frame in Python.
    frame() {
      const { settings: s, line: { p, dx }, noise: { mass, points }, all, seen } = this;
      const loss = LOSSES[s.loss];
      this.g.run(all);
      const x = all.out;
      const q = pushForward(this.line, mass, x);
      const drawn = x.subarray(FINE + 1, FINE + 1 + POINTS);
      seen.x.set(drawn, CELLS);
      this.d.run(seen, true);
      const a = seen.out.subarray(0, CELLS);
      const push = seen.slope.map((slope, i) => -loss.gSlope(seen.out[i]) * slope);
      const edge = ends(a);
      const centre = s.loss === "wasserstein" ? sum(edge.map((v, i) => v * (p[i] + q[i]))) / 2 : 0;
      const star = s.loss === "wasserstein" ? bestCritic(p, q, dx) : q.map((v, i) => p[i] / (p[i] + v));
      const frame = new Float32Array(SIZE);
      let at = 0;
      for (const row of [this.head(x, q, edge, centre, push), q.subarray(1, -1).map((v) => v / dx),
        a.map((v) => loss.shown(v) - centre), star.subarray(1, -1), points, drawn, push.subarray(CELLS, CELLS + POINTS)]) {
        frame.set(row, at);
        at += row.length;
      }
      return frame;
    }

    // The numbers of HEAD, from x at the edges of the cells of z, q in each cell of x, and D's output `edge` in each
    // cell.
    head(x, q, edge, centre, push) {
      const { settings: s, line: { p, dx, hill, modes }, noise: { mass } } = this;
      const loss = LOSSES[s.loss];
      const above = edge.map((v) => (Math.sign(v - centre) + 1) / 2);
      const [due, there] = [p, q].map((masses) => held(masses, hill, modes));
      const distance = jsd(p, q);
      const outside = q[0] + q[CELLS + 1];
      const w1 = sum(ahead(p, q).map(Math.abs)) * dx + (outside ? beyond(this.line, mass, x, q) : 0);
      const dirac = s.players === "dirac";
      return [this.rounds, this.dUpdates, this.gUpdates, this.lossD, this.lossG,
        -sum(p.map((v, i) => v * loss.real(edge[i]) + q[i] * loss.fake(edge[i]))), bestValue(s.loss, p, q, distance, w1),
        distance, kl(p, q), kl(q, p), sum(p.map((v, i) => Math.abs(v - q[i]))) / 2, w1,
        sum(p.map((v, i) => v * above[i] + q[i] * (1 - above[i]))) / 2,
        due.filter((v, m) => there[m] >= v / 4).length, modes, ...moments(mass, x),
        sum(ends(push.subarray(0, CELLS)).map((v, i) => q[i] * Math.abs(v))), outside,
        dirac ? this.g.weights[0] : NaN, dirac ? this.d.weights[0] : NaN];
    }
  }

  // The mass on each mode's hill.
  function held(masses, hill, modes) {
    const found = new Float64Array(modes);
    masses.forEach((v, i) => { if (hill[i] < modes) found[hill[i]] += v; });
    return found;
  }

  // ---- replies -------------------------------------------------------------------------------------------------

  const FRAME = 30;         // milliseconds per frame; a large game plays fewer rounds per frame than requested
  const ANSWER = 90;        // milliseconds per reply; slow machines return fewer frames, so that a pause takes effect soon

  // The engine for these tables: { from, settings, what, frames, steps } -> { frames, states, count }, with all frames
  // and all states in one array each. from: the state to continue from; null for the start, which is then the first
  // frame. what: "play" (`steps` rounds per frame), "d" or "g" (one update of that player), or "look" (no step; only
  // the moment itself, under these settings).
  function start(tables) {
    let game = null;
    return function answer({ from, settings, what, frames = 1, steps = 1 }) {
      if (!from || !game || restarts(game.settings, settings)) game = new Game(settings, tables);
      if (from) game.restore(from, settings);
      const made = [];
      const keep = () => made.push({ frame: game.frame(), state: game.state() });
      if (!from || what === "look") keep();
      const began = performance.now();
      while (what !== "look" && made.length < frames && performance.now() - began < ANSWER) {
        if (!advance(game, what, steps, made.length === 0)) break;
        keep();
      }
      return packed(made);
    };
  }

  // Returns true if the game has advanced. If it diverges after some frames, the reply contains those frames, and the
  // next request throws the error.
  function advance(game, what, steps, first) {
    try {
      if (what === "d") game.updateD();
      else if (what === "g") game.updateG();
      else rounds(game, steps);
      return true;
    } catch (error) {
      if (first) throw error;
      return false;
    }
  }

  function rounds(game, steps) {
    const began = performance.now();
    for (let i = 0; i < steps && performance.now() - began < FRAME; i++) game.step();
  }

  // Packs the moments into two arrays, which are transferred faster than many.
  function packed(made) {
    const size = made[0].state.length;
    const frames = new Float32Array(made.length * SIZE);
    const states = new Float64Array(made.length * size);
    made.forEach(({ frame, state }, i) => {
      frames.set(frame, i * SIZE);
      states.set(state, i * size);
    });
    return { frames, states, count: made.length };
  }

  return { start, Game, CELLS, POINTS, HEAD, ROWS, SIZE, LOSSES, STRUCTURE, lineOf, restarts, read };
}

const { start, Game, CELLS, POINTS, HEAD, SIZE, LOSSES, lineOf, restarts, read } = toyGanEngine();
