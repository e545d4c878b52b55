// The game of course_lib.toy_gan in a page without a kernel: the same noise, the same steps, the same numbers; a test
// holds the two equal. float64 throughout; gradients are written out by hand. Vectors are Float64Arrays; a hidden
// layer's (n, width) is one array, row by row.

// ---- noise: u(seed, stream, step, i), as in toy_gan/noise.py --------------------------------------------------

const [G_WEIGHTS, D_WEIGHTS, D_DATA, D_Z, D_Z2, D_MIX, G_Z, G_Z2] = [0, 1, 2, 3, 4, 5, 6, 7];

function scramble(h) {
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return h ^ (h >>> 16);
}

function uniform(seed, stream, step, n) {
  const h = [seed, stream, step].reduce((hash, word) => scramble(hash ^ word), 0x9e3779b9);
  return Float64Array.from({ length: n }, (_, i) => ((scramble(h ^ i) >>> 0) + 0.5) / 2 ** 32);
}

// ---- players ---------------------------------------------------------------------------------------------------

// Hidden layers of tanh units from a number to a number, as in toy_gan/players.py. The weights are one vector: layer
// by layer the matrix (outputs, inputs), row by row, then the biases.
class MLP {
  constructor(width, depth) {
    this.sizes = [1, ...Array(depth).fill(width), 1];
    this.layers = [];
    let offset = 0;
    for (let l = 0; l + 1 < this.sizes.length; l++) {
      const [a, b] = [this.sizes[l], this.sizes[l + 1]];
      this.layers.push({ a, b, offset });
      offset += b * (a + 1);
    }
    this.size = offset;
  }

  start(seed, stream) {
    const u = uniform(seed, stream, 0, this.size);
    for (const { a, b, offset } of this.layers) {
      for (let i = offset; i < offset + b * (a + 1); i++) u[i] = (2 * u[i] - 1) / Math.sqrt(a);
    }
    return u;
  }

  // {out, slope, trace}: outputs for x (n), their derivatives in x if `slopes`, and what `pull` needs.
  run(w, x, slopes = false) {
    let [h, t] = [x, slopes ? new Float64Array(x.length).fill(1) : null];
    const trace = [];
    for (const layer of this.layers) {
      const z = affine(w, layer, h, true);
      const dz = t && affine(w, layer, t, false);
      trace.push({ h, t, dz });
      if (layer === this.layers[this.layers.length - 1]) return { out: z, slope: dz, trace };
      h = tanh(z);
      t = dz && flat(dz, h);
    }
  }

  // The gradient in the weights of Σ alpha_i·out_i + beta_i·slope_i: backwards through both the values and the slopes.
  pull(w, { trace }, alpha, beta = null) {
    const gradient = new Float64Array(this.size);
    let [z, dz] = [alpha, beta];
    for (let l = this.layers.length - 1; l >= 0; l--) {
      const layer = this.layers[l];
      const { h, t } = trace[l];
      outer(gradient, layer, z, h, true);
      if (dz) outer(gradient, layer, dz, t, false);
      if (!l) return gradient;
      const up = transposed(w, layer, z);
      const dup = dz && transposed(w, layer, dz);
      if (dup) {                        // tanh's slope depends on its input, too
        const before = trace[l - 1].dz;
        for (let i = 0; i < up.length; i++) up[i] -= 2 * h[i] * before[i] * dup[i];
      }
      [z, dz] = [flat(up, h), dup && flat(dup, h)];
    }
  }
}

// Plain loops from here on: they are five times as fast as map with a function.
function tanh(z) {
  const h = new Float64Array(z.length);
  for (let i = 0; i < z.length; i++) h[i] = 1 - 2 / (Math.exp(2 * z[i]) + 1);
  return h;
}

// v times the slope of tanh where it gave h.
function flat(v, h) {
  const out = new Float64Array(v.length);
  for (let i = 0; i < v.length; i++) out[i] = v[i] * (1 - h[i] * h[i]);
  return out;
}

// W·h + bias for each row of h: (n, a) -> (n, b).
function affine(w, { a, b, offset }, h, bias) {
  const n = h.length / a;
  const z = new Float64Array(n * b);
  const biases = offset + a * b;
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < b; k++) {
      let sum = bias ? w[biases + k] : 0;
      const row = offset + k * a;
      for (let j = 0; j < a; j++) sum += w[row + j] * h[i * a + j];
      z[i * b + k] = sum;
    }
  }
  return z;
}

// Adds Σ_i z_i h_iᵀ to the gradient of the matrix, and Σ_i z_i to that of the biases.
function outer(gradient, { a, b, offset }, z, h, bias) {
  const n = h.length / a;
  const biases = offset + a * b;
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < b; k++) {
      const v = z[i * b + k];
      const row = offset + k * a;
      for (let j = 0; j < a; j++) gradient[row + j] += v * h[i * a + j];
      if (bias) gradient[biases + k] += v;
    }
  }
}

// Wᵀ·z for each row of z: (n, b) -> (n, a).
function transposed(w, { a, b, offset }, z) {
  const n = z.length / b;
  const h = new Float64Array(n * a);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < b; k++) {
      const v = z[i * b + k];
      const row = offset + k * a;
      for (let j = 0; j < a; j++) h[i * a + j] += v * w[row + j];
    }
  }
  return h;
}

function sum(values) {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}

// The Dirac-GAN: G is θ whatever z is, D is ψ·x.
const THETA = {
  run: (w, z) => ({ out: z.map(() => w[0]) }),
  pull: (w, trace, alpha) => Float64Array.of(sum(alpha)),
};
const PSI = {
  run: (w, x) => ({ out: x.map((v) => w[0] * v), slope: x.map(() => w[0]), x }),
  pull: (w, { x }, alpha, beta) => Float64Array.of(sum(alpha.map((v, i) => v * x[i] + (beta ? beta[i] : 0)))),
};

// A network, its weights, and the optimizer that moves it: plain gradient or Adam.
class Mover {
  constructor(network, weights) {
    Object.assign(this, { network, weights, m: weights.map(() => 0), v: weights.map(() => 0), t: 0 });
  }

  run(x, slopes) { return this.network.run(this.weights, x, slopes); }

  pull(made, alpha, beta) { return this.network.pull(this.weights, made, alpha, beta); }

  move(gradient, optimizer, lr, beta1, beta2) {
    let [m, v, t, step] = [this.m, this.v, this.t, gradient];
    if (optimizer === "adam") {
      t += 1;
      m = m.map((old, i) => beta1 * old + (1 - beta1) * gradient[i]);
      v = v.map((old, i) => beta2 * old + (1 - beta2) * gradient[i] * gradient[i]);
      const [c1, c2] = [1 - beta1 ** t, 1 - beta2 ** t];
      step = m.map((value, i) => value / c1 / (Math.sqrt(v[i] / c2) + 1e-8));
    }
    const weights = this.weights.map((value, i) => value - lr * step[i]);
    if (!weights.every((value) => Math.abs(value) < 1e100)) {
      throw new Error("The game has blown up: take smaller learning rates, and begin anew.");
    }
    Object.assign(this, { weights, m, v, t });
  }
}

// ---- losses, as in toy_gan/losses.py -------------------------------------------------------------------------------

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

// What each player pays for one output a of D, its derivative, D as it is drawn, and V(D*, G) where q = p.
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
