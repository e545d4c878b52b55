// The inner loops of the toy GAN in AssemblyScript, with two float64 numbers in each v128. `tools/compile_kernels.py`
// compiles this file to WebAssembly and writes the result into toy_gan_kernels.js, where the same functions are written
// in plain JavaScript. All pointers are addresses in bytes. Every array has a multiple of 8 elements per unit.

const F: usize = 8; // bytes per number
const PAIR: usize = 2 * F; // bytes per v128

function multiplyAdd(sum: v128, a: v128, b: v128): v128 {
  return f64x2.add(sum, f64x2.mul(a, b));
}

// out_kp = bases_k + Σ_j w[k·unitStep + j·inputStep]·h_jp for every unit k and every point p. bases: 0 if there are none.
// Two units and eight points are computed at once. A last unit without a partner is paired with itself.
export function weigh(
  w: usize, unitStep: usize, inputStep: usize, bases: usize, units: usize, inputs: usize, h: usize, out: usize, room: usize,
): void {
  for (let k: usize = 0; k < units; k += 2) {
    const l = min(k + 1, units - 1);
    const baseK = bases ? v128.load64_splat(bases + k * F) : f64x2.splat(0);
    const baseL = bases ? v128.load64_splat(bases + l * F) : f64x2.splat(0);
    const outK = out + k * room * F;
    const outL = out + l * room * F;
    for (let p: usize = 0; p < room * F; p += 4 * PAIR) {
      let k0 = baseK, k1 = baseK, k2 = baseK, k3 = baseK;
      let l0 = baseL, l1 = baseL, l2 = baseL, l3 = baseL;
      let wk = w + k * unitStep * F;
      let wl = w + l * unitStep * F;
      let hp = h + p;
      for (let j: usize = 0; j < inputs; j++) {
        const weightK = v128.load64_splat(wk);
        const weightL = v128.load64_splat(wl);
        const h0 = v128.load(hp), h1 = v128.load(hp, PAIR), h2 = v128.load(hp, 2 * PAIR), h3 = v128.load(hp, 3 * PAIR);
        k0 = multiplyAdd(k0, weightK, h0);
        k1 = multiplyAdd(k1, weightK, h1);
        k2 = multiplyAdd(k2, weightK, h2);
        k3 = multiplyAdd(k3, weightK, h3);
        l0 = multiplyAdd(l0, weightL, h0);
        l1 = multiplyAdd(l1, weightL, h1);
        l2 = multiplyAdd(l2, weightL, h2);
        l3 = multiplyAdd(l3, weightL, h3);
        wk += inputStep * F;
        wl += inputStep * F;
        hp += room * F;
      }
      v128.store(outK + p, k0);
      v128.store(outK + p, k1, PAIR);
      v128.store(outK + p, k2, 2 * PAIR);
      v128.store(outK + p, k3, 3 * PAIR);
      v128.store(outL + p, l0);
      v128.store(outL + p, l1, PAIR);
      v128.store(outL + p, l2, 2 * PAIR);
      v128.store(outL + p, l3, 3 * PAIR);
    }
  }
}

function bothLanes(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

function increase(address: usize, by: f64): void {
  store<f64>(address, load<f64>(address) + by);
}

// Adds Σ_p z_kp·h_ip to the element (k, i) of `gradient`, a matrix (units, inputs). Two rows and two columns are computed
// at once, each from two partial sums, so that an addition need not wait for the one before it.
export function outer(gradient: usize, units: usize, inputs: usize, z: usize, h: usize, room: usize): void {
  for (let k: usize = 0; k < units; k += 2) {
    const l = min(k + 1, units - 1);
    for (let i: usize = 0; i < inputs; i += 2) {
      const j = min(i + 1, inputs - 1);
      let ki0 = f64x2.splat(0), kj0 = ki0, li0 = ki0, lj0 = ki0;
      let ki1 = ki0, kj1 = ki0, li1 = ki0, lj1 = ki0;
      let zk = z + k * room * F, zl = z + l * room * F;
      let hi = h + i * room * F, hj = h + j * room * F;
      for (const end = zk + room * F; zk < end; ) {
        const k0 = v128.load(zk), l0 = v128.load(zl), i0 = v128.load(hi), j0 = v128.load(hj);
        ki0 = multiplyAdd(ki0, k0, i0);
        kj0 = multiplyAdd(kj0, k0, j0);
        li0 = multiplyAdd(li0, l0, i0);
        lj0 = multiplyAdd(lj0, l0, j0);
        const k1 = v128.load(zk, PAIR), l1 = v128.load(zl, PAIR), i1 = v128.load(hi, PAIR), j1 = v128.load(hj, PAIR);
        ki1 = multiplyAdd(ki1, k1, i1);
        kj1 = multiplyAdd(kj1, k1, j1);
        li1 = multiplyAdd(li1, l1, i1);
        lj1 = multiplyAdd(lj1, l1, j1);
        zk += 2 * PAIR;
        zl += 2 * PAIR;
        hi += 2 * PAIR;
        hj += 2 * PAIR;
      }
      const rowK = gradient + k * inputs * F;
      const rowL = gradient + l * inputs * F;
      increase(rowK + i * F, bothLanes(f64x2.add(ki0, ki1)));
      if (j !== i) increase(rowK + j * F, bothLanes(f64x2.add(kj0, kj1)));
      if (l === k) continue;
      increase(rowL + i * F, bothLanes(f64x2.add(li0, li1)));
      if (j !== i) increase(rowL + j * F, bothLanes(f64x2.add(lj0, lj1)));
    }
  }
}

// The sum of n numbers.
export function total(z: usize, n: usize): f64 {
  let s0 = f64x2.splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (let at = z; at < z + n * F; at += 4 * PAIR) {
    s0 = f64x2.add(s0, v128.load(at));
    s1 = f64x2.add(s1, v128.load(at, PAIR));
    s2 = f64x2.add(s2, v128.load(at, 2 * PAIR));
    s3 = f64x2.add(s3, v128.load(at, 3 * PAIR));
  }
  return bothLanes(f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3)));
}

// Constants are loaded from memory, at the addresses that toy_gan_kernels.js reserves, because a loop that contains them
// as numbers builds each of them again for every pair.
const NUMBERS = memory.data<f64>([
  1, 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
  1.0 / 39916800, 1.0 / 479001600, // 1 / n! for n = 0 … 12
  1.44269504088896340736, // log2(e)
  6.93147180369123816490e-1, 1.90821492927058770002e-10, // ln 2 in two parts; multiples of the first are exact
  4503599627370496 + 1023, // added to an integer k, this leaves k + 1023, the exponent of 2^k, in the lowest bits
  -40, 40, 2, // tanh(20) rounds to 1
]);
const LOG2_E = 13, LN2 = 14, LN2_REST = 15, TO_EXPONENT = 16, LOWEST = 17, HIGHEST = 18, TWO = 19;

function number(n: usize): v128 {
  return v128.load64_splat(NUMBERS + n * F);
}

// r^n / n! + r^(n+1) / (n+1)!, divided by r^n.
function terms(n: usize, r: v128): v128 {
  return multiplyAdd(number(n), number(n + 1), r);
}

// e^v for |v| ≤ 40, as 2^k·e^r with |r| ≤ ln 2 / 2. The series for e^r ends with r^12, so its error is below 2e-16. Its
// terms are added in pairs, then in fours, because each addition of a plain sum would wait for the one before it.
function exp(v: v128): v128 {
  const k = f64x2.nearest(f64x2.mul(v, number(LOG2_E)));
  let r = f64x2.sub(v, f64x2.mul(k, number(LN2)));
  r = f64x2.sub(r, f64x2.mul(k, number(LN2_REST)));
  const r2 = f64x2.mul(r, r);
  const r4 = f64x2.mul(r2, r2);
  const from0 = multiplyAdd(terms(0, r), terms(2, r), r2);
  const from4 = multiplyAdd(terms(4, r), terms(6, r), r2);
  const from8 = multiplyAdd(multiplyAdd(terms(8, r), terms(10, r), r2), number(12), r4);
  const series = multiplyAdd(multiplyAdd(from0, from4, r4), from8, f64x2.mul(r4, r4));
  return f64x2.mul(series, i64x2.shl(f64x2.add(k, number(TO_EXPONENT)), 52));
}

// z = tanh(z) = 1 − 2 / (e^{2z} + 1) for n numbers, in place. NaN stays NaN.
export function tanh(z: usize, n: usize): void {
  for (let at = z; at < z + n * F; at += PAIR) {
    let v = f64x2.mul(number(TWO), v128.load(at));
    v = f64x2.pmax(v, number(LOWEST));
    v = f64x2.pmin(v, number(HIGHEST));
    v128.store(at, f64x2.sub(number(0), f64x2.div(number(TWO), f64x2.add(exp(v), number(0)))));
  }
}

// out = v·(1 − h²) for n numbers: the product with the derivative of tanh where tanh is h.
export function flatten(v: usize, h: usize, out: usize, n: usize): void {
  for (let i: usize = 0; i < n * F; i += PAIR) {
    const t = v128.load(h + i);
    v128.store(out + i, f64x2.mul(v128.load(v + i), f64x2.sub(f64x2.splat(1), f64x2.mul(t, t))));
  }
}

// up −= 2·h·before·upSlope for n numbers: the slope of tanh depends on its input.
export function bend(up: usize, h: usize, before: usize, upSlope: usize, n: usize): void {
  for (let i: usize = 0; i < n * F; i += PAIR) {
    const product = f64x2.mul(f64x2.mul(v128.load(h + i), v128.load(before + i)), v128.load(upSlope + i));
    v128.store(up + i, f64x2.sub(v128.load(up + i), f64x2.mul(f64x2.splat(2), product)));
  }
}
