// The players of course_lib.toy_gan, in plain loops over flat arrays, with the same noise, steps and numbers. A test
// checks that both agree. All numbers are float64, and the gradients are written by hand.
//
// Everything is inside one function, because its source code is also the program of a worker (see `Background` in
// live.js).

function toyGanPlayers() {
  // ---- noise: u(seed, stream, step, i), as in toy_gan/noise.py ------------------------------------------------

  const STREAMS = { G_WEIGHTS: 0, D_WEIGHTS: 1, D_DATA: 2, D_Z: 3, D_Z2: 4, D_MIX: 5, G_Z: 6, G_Z2: 7 };

  function scramble(h) {
    h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
    h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
    return h ^ (h >>> 16);
  }

  // Fills `out` with numbers between 0 and 1.
  function uniform(seed, stream, step, out) {
    const h = scramble(scramble(scramble(0x9e3779b9 ^ seed) ^ stream) ^ step);
    for (let i = 0; i < out.length; i++) out[i] = ((scramble(h ^ i) >>> 0) + 0.5) / 2 ** 32;
    return out;
  }

  // ---- tanh ------------------------------------------------------------------------------------------------------

  // A step computes about 25,000 tanh, so e^v is a table entry 2^(k/32) times a short series in the rest of v. This is
  // three times as fast as Math.exp and accurate to 2e-15.
  const PARTS = 32;
  const REACH = 40;                    // tanh(20) rounds to 1
  const ORIGIN = PARTS * 60;
  const POWERS = Float64Array.from({ length: 2 * ORIGIN + 1 }, (_, k) => 2 ** ((k - ORIGIN) / PARTS));
  // ln 2 in two parts. The first has so few digits that its multiples are exact.
  const [LN2, LN2_REST] = [6.93147180369123816490e-1 / PARTS, 1.90821492927058770002e-10 / PARTS];
  const SCALE = PARTS / Math.LN2;

  // Works in place. NaN stays NaN, so that a game that has diverged is noticed.
  function tanh(z) {
    for (let i = 0; i < z.length; i++) {
      const v = Math.min(Math.max(2 * z[i], -REACH), REACH);
      const k = Math.floor(v * SCALE + 0.5);
      const r = v - k * LN2 - k * LN2_REST;
      const series = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r / 120))));
      z[i] = 1 - 2 / (POWERS[(k + ORIGIN) | 0] * series + 1);
    }
  }

  // ---- a pass of points through a network ----------------------------------------------------------------------

  // The arrays for a pass of n points through a network, allocated once and reused at every step. The numbers of a
  // layer are stored unit by unit: number i of unit k is at k·room + i. Points are processed four at a time, so `room`
  // is a multiple of four. It is slightly larger than needed, because with a power of two the units would evict each
  // other from the cache.
  class Pass {
    constructor(sizes, n) {
      const room = 4 * Math.ceil(n / 4) + 4;
      const layers = () => sizes.map((units) => new Float64Array(units * room));
      Object.assign(this, { n, room, values: layers(), slopes: layers(), bare: layers(), back: layers(), backSlopes: layers() });
      this.slopes[0].fill(1);           // d values / d x; `bare` is the same before tanh
      this.x = this.values[0];
      this.out = this.values[sizes.length - 1];
      this.slope = this.slopes[sizes.length - 1];
    }
  }

  // The next two functions take most of the time, so they process two units at once and use each number that they load
  // at least twice. A last unit without a partner is paired with itself.
  const second = (k, units) => (k + 1 < units ? k + 1 : k);

  // Computes out_ki = base_k + Σ_j w[from_k + j·step]·h_ji for the units k and l and every point i.
  function weigh(w, fromK, fromL, step, inputs, baseK, baseL, h, out, atK, atL, room) {
    for (let i = 0; i < room; i += 4) {
      let k0 = baseK, k1 = baseK, k2 = baseK, k3 = baseK;
      let l0 = baseL, l1 = baseL, l2 = baseL, l3 = baseL;
      for (let j = 0, u = 0, p = i; j < inputs; j++, u += step, p += room) {
        const wk = w[fromK + u], wl = w[fromL + u];
        const h0 = h[p], h1 = h[p + 1], h2 = h[p + 2], h3 = h[p + 3];
        k0 += wk * h0;
        k1 += wk * h1;
        k2 += wk * h2;
        k3 += wk * h3;
        l0 += wl * h0;
        l1 += wl * h1;
        l2 += wl * h2;
        l3 += wl * h3;
      }
      out[atK + i] = k0;
      out[atK + i + 1] = k1;
      out[atK + i + 2] = k2;
      out[atK + i + 3] = k3;
      out[atL + i] = l0;
      out[atL + i + 1] = l1;
      out[atL + i + 2] = l2;
      out[atL + i + 3] = l3;
    }
  }

  // Adds to the gradient of the matrix the products of the units k and l of z with i and j of h, summed over all
  // points.
  function outer(gradient, { a, offset }, z, k, l, h, i, j, room) {
    let ki = 0, kj = 0, li = 0, lj = 0;
    for (let p = 0, zk = k * room, zl = l * room, hi = i * room, hj = j * room; p < room; p++) {
      const vk = z[zk + p], vl = z[zl + p], vi = h[hi + p], vj = h[hj + p];
      ki += vk * vi;
      kj += vk * vj;
      li += vl * vi;
      lj += vl * vj;
    }
    gradient[offset + k * a + i] += ki;
    if (j !== i) gradient[offset + k * a + j] += kj;
    if (l === k) return;
    gradient[offset + l * a + i] += li;
    if (j !== i) gradient[offset + l * a + j] += lj;
  }

  function total(z, at, room) {
    let sum = 0;
    for (let i = at; i < at + room; i++) sum += z[i];
    return sum;
  }

  // Multiplies v by the derivative of tanh where tanh is h.
  function flatten(v, h, out) {
    for (let i = 0; i < v.length; i++) out[i] = v[i] * (1 - h[i] * h[i]);
  }

  // ---- networks ------------------------------------------------------------------------------------------------

  // Hidden layers of tanh units between one input and one output, as in toy_gan/players.py. The weights are one vector.
  // For each layer it contains the matrix (b outputs, a inputs), row by row, and then the biases.
  class MLP {
    constructor(width, depth) {
      this.sizes = [1, ...Array(depth).fill(width), 1];
      this.layers = [];
      let offset = 0;
      for (let l = 0; l + 1 < this.sizes.length; l++) {
        const [a, b] = [this.sizes[l], this.sizes[l + 1]];
        this.layers.push({ a, b, offset, biases: offset + a * b });
        offset += b * (a + 1);
      }
      this.size = offset;
    }

    start(seed, stream) {
      const u = uniform(seed, stream, 0, new Float64Array(this.size));
      for (const { a, b, offset } of this.layers) {
        for (let i = offset; i < offset + b * (a + 1); i++) u[i] = (2 * u[i] - 1) / Math.sqrt(a);
      }
      return u;
    }

    // Computes pass.out from pass.x and, if requested, pass.slope, the derivatives with respect to x.
    run(w, pass, withSlopes = false) {
      const { values, slopes, bare } = pass;
      for (let l = 0; l < this.layers.length; l++) {
        const layer = this.layers[l];
        forward(w, layer, pass.room, values[l], values[l + 1], true);
        if (l + 1 < this.layers.length) tanh(values[l + 1]);
        if (!withSlopes) continue;
        forward(w, layer, pass.room, slopes[l], bare[l + 1], false);
        if (l + 1 < this.layers.length) flatten(bare[l + 1], values[l + 1], slopes[l + 1]);
        else slopes[l + 1].set(bare[l + 1]);
      }
    }

    // Adds to `gradient` the gradient of Σ alpha_i·out_i + beta_i·slope_i with respect to the weights, by
    // backpropagation through the values and the slopes. alpha and beta have `room` numbers, with 0 for the padding;
    // beta may be null.
    pull(w, pass, alpha, beta, gradient) {
      const { room, values, slopes, bare, back, backSlopes } = pass;
      let [z, dz] = [alpha, beta];
      for (let l = this.layers.length - 1; l >= 0; l--) {
        const layer = this.layers[l];
        blame(gradient, layer, room, z, values[l], true);
        if (dz) blame(gradient, layer, room, dz, slopes[l], false);
        if (l === 0) return;
        backward(w, layer, room, z, back[l]);
        if (dz) {
          backward(w, layer, room, dz, backSlopes[l]);
          bend(back[l], values[l], bare[l], backSlopes[l]);
          flatten(backSlopes[l], values[l], backSlopes[l]);
        }
        flatten(back[l], values[l], back[l]);
        [z, dz] = [back[l], dz && backSlopes[l]];
      }
    }
  }

  // Computes W·h, with or without the biases.
  function forward(w, { a, b, offset, biases }, room, h, z, biased) {
    for (let k = 0; k < b; k += 2) {
      const l = second(k, b);
      const baseK = biased ? w[biases + k] : 0;
      const baseL = biased ? w[biases + l] : 0;
      weigh(w, offset + k * a, offset + l * a, 1, a, baseK, baseL, h, z, k * room, l * room, room);
    }
  }

  // Computes Wᵀ·z.
  function backward(w, { a, b, offset }, room, z, h) {
    for (let i = 0; i < a; i += 2) {
      const j = second(i, a);
      weigh(w, offset + i, offset + j, a, b, 0, 0, z, h, i * room, j * room, room);
    }
  }

  // Adds Σ z hᵀ over the points to the gradient of the matrix, and Σ z to the gradient of the biases.
  function blame(gradient, layer, room, z, h, biased) {
    const { a, b, biases } = layer;
    for (let k = 0; k < b; k += 2) {
      for (let i = 0; i < a; i += 2) outer(gradient, layer, z, k, second(k, b), h, i, second(i, a), room);
    }
    for (let k = 0; biased && k < b; k++) gradient[biases + k] += total(z, k * room, room);
  }

  // Adds the term that arises because the slope of tanh depends on its input.
  function bend(up, h, before, upSlope) {
    for (let i = 0; i < up.length; i++) up[i] -= 2 * h[i] * before[i] * upSlope[i];
  }

  // The Dirac-GAN: G is θ for every z, and D is ψ·x.
  const THETA = {
    sizes: [1, 1],
    size: 1,
    run(w, pass) { pass.out.fill(w[0]); },
    pull(w, pass, alpha, beta, gradient) { gradient[0] += total(alpha, 0, pass.room); },
  };
  const PSI = {
    sizes: [1, 1],
    size: 1,
    run(w, { x, out, slope }) {
      for (let i = 0; i < x.length; i++) out[i] = w[0] * x[i];
      slope.fill(w[0]);
    },
    pull(w, { x, room }, alpha, beta, gradient) {
      for (let i = 0; i < room; i++) gradient[0] += alpha[i] * x[i];
      if (beta) gradient[0] += total(beta, 0, room);
    },
  };

  // ---- a player ------------------------------------------------------------------------------------------------

  // A network, its weights, and its optimizer: plain gradient descent, or Adam with the moments m and v.
  class Player {
    constructor(network, weights) {
      const zeros = () => new Float64Array(network.size);
      Object.assign(this, { network, weights, m: zeros(), v: zeros(), t: 0, gradient: zeros() });
      this.next = { weights: zeros(), m: zeros(), v: zeros() };
    }

    run(pass, withSlopes) { this.network.run(this.weights, pass, withSlopes); }

    // Adds to the gradient with respect to the weights.
    pull(pass, alpha, beta = null, gradient = this.gradient) {
      this.network.pull(this.weights, pass, alpha, beta, gradient);
    }

    // Takes one step down a gradient and sets the gradient to 0. If a weight would not stay finite, nothing is changed.
    move(gradient, optimizer, lr, beta1, beta2) {
      const { weights, next } = this;
      if (optimizer === "adam") this.remember(gradient, beta1, beta2);
      const [c1, c2] = [1 - beta1 ** (this.t + 1), 1 - beta2 ** (this.t + 1)];
      let finite = true;
      for (let i = 0; i < weights.length; i++) {
        const step = optimizer === "adam" ? next.m[i] / c1 / (Math.sqrt(next.v[i] / c2) + 1e-8) : gradient[i];
        next.weights[i] = weights[i] - lr * step;
        finite = finite && Math.abs(next.weights[i]) < 1e100;
      }
      gradient.fill(0);
      if (!finite) throw new Error("The game has blown up. Start a new game with smaller learning rates.");
      this.accept(optimizer === "adam");
    }

    // Updates Adam's running means of the gradient and of its square.
    remember(gradient, beta1, beta2) {
      const { m, v, next } = this;
      for (let i = 0; i < gradient.length; i++) {
        next.m[i] = beta1 * m[i] + (1 - beta1) * gradient[i];
        next.v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] * gradient[i];
      }
    }

    // Accepts the step by swapping the arrays; the old ones are reused for the next step.
    accept(adam) {
      const { next } = this;
      [this.weights, next.weights] = [next.weights, this.weights];
      if (!adam) return;
      [this.m, next.m] = [next.m, this.m];
      [this.v, next.v] = [next.v, this.v];
      this.t += 1;
    }
  }

  // ---- losses, as in toy_gan/losses.py -------------------------------------------------------------------------

  const sigmoid = (a) => 1 / (1 + Math.exp(-a));
  const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

  // The loss of each player for one output a of D, its derivative, D as it is drawn, and V(D*, G) for q = p.
  const LOSSES = {
    minimax: {
      real: (a) => softplus(-a), fake: softplus, g: (a) => -softplus(a),
      realSlope: (a) => -sigmoid(-a), fakeSlope: sigmoid, gSlope: (a) => -sigmoid(a), shown: sigmoid, floor: -Math.log(4),
    },
    least_squares: {
      real: (a) => (a - 0.5) ** 2 / 2, fake: (a) => (a + 0.5) ** 2 / 2, g: (a) => (a - 0.5) ** 2 / 2,
      realSlope: (a) => a - 0.5, fakeSlope: (a) => a + 0.5, gSlope: (a) => a - 0.5, shown: (a) => a + 0.5, floor: -0.25,
    },
    wasserstein: {
      real: (a) => -a, fake: (a) => a, g: (a) => -a,
      realSlope: () => -1, fakeSlope: () => 1, gSlope: () => -1, shown: (a) => a, floor: 0,
    },
  };
  LOSSES.nonsaturating = { ...LOSSES.minimax, g: (a) => softplus(-a), gSlope: (a) => -sigmoid(-a) };

  return { STREAMS, uniform, Pass, MLP, THETA, PSI, Player, LOSSES };
}
