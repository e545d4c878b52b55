// The players of course_lib.toy_gan, with the same noise, steps and numbers, over the flat arrays and loops of
// toy_gan_kernels.js. A test checks that both agree. All numbers are float64, and the gradients are written by hand.
//
// Everything is inside one function, because its source code is also the program of a worker (see `Background` in
// live.js).

function toyGanPlayers() {
  const { Workspace } = toyGanKernels();

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

  // ---- a pass of points through a network ----------------------------------------------------------------------

  // The arrays for a pass of n points through a network, allocated once and reused at every step. The numbers of a
  // layer are stored unit by unit: number i of unit k is at k·room + i. Points are processed eight at a time, so `room`
  // is a multiple of eight. It is slightly larger than needed, because with a power of two the units would evict each
  // other from the cache.
  class Pass {
    constructor({ sizes, size }, n) {
      const room = 8 * Math.ceil(n / 8) + 8;
      const units = sizes.reduce((a, b) => a + b);
      this.loops = new Workspace(5 * (units * room + 2 * sizes.length) + 2 * (size + 2));
      const layers = () => sizes.map((count) => this.loops.array(count * room));
      Object.assign(this, { n, room, values: layers(), slopes: layers(), bare: layers(), back: layers(), backSlopes: layers() });
      Object.assign(this, { weights: this.loops.array(size), gradient: this.loops.array(size) });
      this.slopes[0].fill(1);           // d values / d x; `bare` is the same before tanh
      this.x = this.values[0];
      this.out = this.values[sizes.length - 1];
      this.slope = this.slopes[sizes.length - 1];
    }
  }

  // ---- networks ------------------------------------------------------------------------------------------------

  const address = (array, offset = 0) => array.byteOffset + 8 * offset;

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
    run(weights, pass, withSlopes = false) {
      const { loops, values, slopes, bare } = pass;
      pass.weights.set(weights);
      for (let l = 0; l < this.layers.length; l++) {
        const layer = this.layers[l];
        const isLast = l + 1 === this.layers.length;
        const h = values[l + 1];
        forward(pass, layer, values[l], h, true);
        if (!isLast) loops.tanh(address(h), h.length);
        if (!withSlopes) continue;
        forward(pass, layer, slopes[l], bare[l + 1], false);
        if (isLast) slopes[l + 1].set(bare[l + 1]);
        else loops.flatten(address(bare[l + 1]), address(h), address(slopes[l + 1]), h.length);
      }
    }

    // Adds to `gradient` the gradient of Σ alpha_i·out_i + beta_i·slope_i with respect to the weights of the last `run`,
    // by backpropagation through the values and the slopes. alpha and beta have `room` numbers, with 0 for the padding;
    // beta may be null.
    pull(pass, alpha, beta, gradient) {
      const { loops, values, slopes, bare, back, backSlopes } = pass;
      pass.gradient.fill(0);
      let [z, dz] = [back[this.layers.length], beta && backSlopes[this.layers.length]];
      z.set(alpha);
      if (dz) dz.set(beta);
      for (let l = this.layers.length - 1; l >= 0; l--) {
        const layer = this.layers[l];
        blame(pass, layer, z, values[l], true);
        if (dz) blame(pass, layer, dz, slopes[l], false);
        if (l === 0) break;
        const [h, up, upSlope] = [values[l], back[l], backSlopes[l]];
        backward(pass, layer, z, up);
        if (dz) {
          backward(pass, layer, dz, upSlope);
          loops.bend(address(up), address(h), address(bare[l]), address(upSlope), h.length);
          loops.flatten(address(upSlope), address(h), address(upSlope), h.length);
        }
        loops.flatten(address(up), address(h), address(up), h.length);
        [z, dz] = [up, dz && upSlope];
      }
      for (let i = 0; i < gradient.length; i++) gradient[i] += pass.gradient[i];
    }
  }

  // Computes W·h, with or without the biases.
  function forward({ loops, weights, room }, { a, b, offset, biases }, h, z, biased) {
    const bases = biased ? address(weights, biases) : 0;
    loops.weigh(address(weights, offset), a, 1, bases, b, a, address(h), address(z), room);
  }

  // Computes Wᵀ·z.
  function backward({ loops, weights, room }, { a, b, offset }, z, h) {
    loops.weigh(address(weights, offset), 1, a, 0, a, b, address(z), address(h), room);
  }

  // Adds Σ z hᵀ over the points to the gradient of the matrix, and Σ z to the gradient of the biases.
  function blame({ loops, gradient, room }, { a, b, offset, biases }, z, h, biased) {
    loops.outer(address(gradient, offset), b, a, address(z), address(h), room);
    for (let k = 0; biased && k < b; k++) gradient[biases + k] += loops.total(address(z, k * room), room);
  }

  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

  // The Dirac-GAN: G is θ for every z, and D is ψ·x.
  const THETA = {
    sizes: [1, 1],
    size: 1,
    run(w, pass) { pass.out.fill(w[0]); },
    pull(pass, alpha, beta, gradient) { gradient[0] += sum(alpha); },
  };
  const PSI = {
    sizes: [1, 1],
    size: 1,
    run(w, { x, out, slope }) {
      for (let i = 0; i < x.length; i++) out[i] = w[0] * x[i];
      slope.fill(w[0]);
    },
    pull({ x }, alpha, beta, gradient) {
      for (let i = 0; i < x.length; i++) gradient[0] += alpha[i] * x[i];
      if (beta) gradient[0] += sum(beta);
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
      this.network.pull(pass, alpha, beta, gradient);
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
