// The inner loops of the toy GAN, which take most of its time, over float64 numbers in one block of memory. There are
// two versions with the same arguments and the same results to within rounding: plain JavaScript, below, and
// WebAssembly, which processes two numbers at a time (from toy_gan_kernels.ts). The second is used where it works.
//
// Everything is inside one function, because its source code is also the program of a worker.

function toyGanKernels() {
  // toy_gan_kernels.ts, compiled by tools/compile_kernels.py.
  const COMPILED = "AGFzbQEAAAABMAZgCX9/f39/f39/fwBgAn9/AXxgAn9/AGAGf39/f39/AGAEf39/fwBgBX9/f39/AAIPAQNlbnYGbWVtb3J5AgABAwcGAAECAwQFBzEGBXdlaWdoAAAFb3V0ZXIAAwV0b3RhbAABBHRhbmgAAgdmbGF0dGVuAAQEYmVuZAAFDAEBCuoOBv0DAg97Cn8DQCAEIBpLBEAgGkEBaiIYIARBAWsiGSAYIBlJGyEbIAMEeyADIBpBA3Rq/QoDAAX9DAAAAAAAAAAAAAAAAAAAAAALIQ0gAwR7IAMgG0EDdGr9CgMABf0MAAAAAAAAAAAAAAAAAAAAAAshDiAHIAggGmxBA3RqIR8gByAIIBtsQQN0aiEgQQAhGQNAIBkgCEEDdEkEQCANIgkhESAJIgshDyAOIgohEiAKIgwhECAAIAEgGmxBA3RqIRwgACABIBtsQQN0aiEdIAYgGWohGEEAIR4DQCAFIB5LBEAgCSAc/QoDACIWIBj9AAQAIhP98gH98AEhCSARIBYgGP0ABBAiFP3yAf3wASERIAsgFiAY/QAEICIV/fIB/fABIQsgDyAWIBj9AAQwIhf98gH98AEhDyAKIB39CgMAIhYgE/3yAf3wASEKIBIgFiAU/fIB/fABIRIgDCAWIBX98gH98AEhDCAQIBYgF/3yAf3wASEQIAJBA3QiISAcaiEcIB0gIWohHSAYIAhBA3RqIRggHkEBaiEeDAELCyAZIB9qIhggCf0LBAAgGCAR/QsEECAYIAv9CwQgIBggD/0LBDAgGSAgaiIYIAr9CwQAIBggEv0LBBAgGCAM/QsEICAYIBD9CwQwIBlBQGshGQwBCwsgGkECaiEaDAELCwt0AgF/BHsgACECA0AgAiAAIAFBA3RqSQRAIAMgAv0ABAD98AEhAyAEIAL9AAQQ/fABIQQgBSAC/QAEIP3wASEFIAYgAv0ABDD98AEhBiACQUBrIQIMAQsLIAMgBP3wASAFIAb98AH98AEiA/0hACAD/SEBoAvwAgIBfwV7IAAhAgNAIAIgACABQQN0akkEQCACQRD9CgMAIgVBqAH9CgMAIgMgAyAC/QAEAP3yAUGYAf0KAwD99wFBoAH9CgMA/fYBIgNB+AD9CgMA/fIB/ZQBIQQgAyAEQYAB/QoDAP3yAf3xASAEQYgB/QoDAP3yAf3xASIGIAb98gEiByAH/fIBIQMgBUEY/QoDACAG/fIB/fABQSD9CgMAQSj9CgMAIAb98gH98AEgB/3yAf3wAUEw/QoDAEE4/QoDACAG/fIB/fABQcAA/QoDAEHIAP0KAwAgBv3yAf3wASAH/fIB/fABIAP98gH98AFB0AD9CgMAQdgA/QoDACAG/fIB/fABQeAA/QoDAEHoAP0KAwAgBv3yAf3wASAH/fIB/fABQfAA/QoDACAD/fIB/fABIAMgA/3yAf3yAf3wASAEQZAB/QoDAP3wAUE0/csB/fIBIAX98AH98wH98QH9CwQAIAJBEGohAgwBCwsLwwUCCX8LewNAIAEgCUsEQCAJQQFqIgYgAUEBayIHIAYgB0kbIQxBACEHA0AgAiAHSwRA/QwAAAAAAAAAAAAAAAAAAAAAIQ/9DAAAAAAAAAAAAAAAAAAAAAAhEP0MAAAAAAAAAAAAAAAAAAAAACER/QwAAAAAAAAAAAAAAAAAAAAAIRL9DAAAAAAAAAAAAAAAAAAAAAAhE/0MAAAAAAAAAAAAAAAAAAAAACEU/QwAAAAAAAAAAAAAAAAAAAAAIRX9DAAAAAAAAAAAAAAAAAAAAAAhFiADIAUgDGxBA3RqIQggBCAFIAdsQQN0aiEKIAQgB0EBaiIGIAJBAWsiCyAGIAtJGyIOIAVsQQN0aiELIAMgBSAJbEEDdGoiBiAFQQN0aiENA0AgBiANSQRAIA8gBv0ABAAiFyAK/QAEACIY/fIB/fABIQ8gECAXIAv9AAQAIhf98gH98AEhECARIAj9AAQAIhkgGP3yAf3wASERIBIgGSAX/fIB/fABIRIgEyAG/QAEECIXIAr9AAQQIhj98gH98AEhEyAUIBcgC/0ABBAiF/3yAf3wASEUIBUgCP0ABBAiGSAY/fIB/fABIRUgFiAZIBf98gH98AEhFiAGQSBqIQYgCEEgaiEIIApBIGohCiALQSBqIQsMAQsLIAAgAiAJbEEDdGoiBiAHQQN0aiIIIAgrAwAgDyAT/fABIg/9IQAgD/0hAaCgOQMAIAcgDkcEQCAGIA5BA3RqIgYgBisDACAQIBT98AEiD/0hACAP/SEBoKA5AwALIAkgDEcEQCAAIAIgDGxBA3RqIgYgB0EDdGoiCCAIKwMAIBEgFf3wASIP/SEAIA/9IQGgoDkDACAHIA5HBEAgBiAOQQN0aiIGIAYrAwAgEiAW/fABIg/9IQAgD/0hAaCgOQMACwsgB0ECaiEHDAELCyAJQQJqIQkMAQsLC1cCAX8BewNAIAQgA0EDdEkEQCACIARqIAAgBGr9AAQA/QwAAAAAAADwPwAAAAAAAPA/IAEgBGr9AAQAIgUgBf3yAf3xAf3yAf0LBAAgBEEQaiEEDAELCwtlAQJ/A0AgBSAEQQN0SQRAIAAgBWoiBiAG/QAEAP0MAAAAAAAAAEAAAAAAAAAAQCABIAVq/QAEACACIAVq/QAEAP3yASADIAVq/QAEAP3yAf3yAf3xAf0LBAAgBUEQaiEFDAELCwsLpwEBAEEQC6ABAAAAAAAA8D8AAAAAAADwPwAAAAAAAOA/VVVVVVVVxT9VVVVVVVWlPxEREREREYE/F2zBFmzBVj8aoAEaoAEqPxqgARqgAfo+NMdWpeMdxz5cn3i3T36SPuRE9WdF5lo+mNj479juIT7+gitlRxX3PwAA4P5CLuY/djx5Ne856j3/AwAAAAAwQwAAAAAAAETAAAAAAAAAREAAAAAAAAAAQA=="; // dd433ab691fbfa43

  const compiled = compile();

  // Returns null where WebAssembly is too old or forbidden.
  function compile() {
    try {
      return new WebAssembly.Module(Uint8Array.from(atob(COMPILED), (letter) => letter.charCodeAt(0)));
    } catch {
      return null;
    }
  }

  const PAGE = 65536;                  // bytes; the memory of WebAssembly consists of whole pages
  const RESERVED = 512;                // bytes at the beginning, for the constants of the compiled functions

  // A block of memory for at least `count` numbers, with functions that take the addresses of arrays in it, in bytes.
  // Address 0 is never that of an array.
  class Workspace {
    constructor(count) {
      const bytes = RESERVED + 8 * count;
      this.used = RESERVED;
      if (!compiled) {
        this.buffer = new ArrayBuffer(bytes);
        Object.assign(this, plainLoops(new Float64Array(this.buffer)));
        return;
      }
      const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
      this.buffer = memory.buffer;
      Object.assign(this, new WebAssembly.Instance(compiled, { env: { memory } }).exports);
    }

    // Returns the next n numbers of the block. Pairs of numbers are loaded faster from multiples of 16.
    array(n) {
      const made = new Float64Array(this.buffer, this.used, n);
      this.used += 16 * Math.ceil(n / 2);
      return made;
    }
  }

  // ---- plain JavaScript ------------------------------------------------------------------------------------------

  // e^v is a table entry 2^(k/32) times a short series in the rest of v. This is three times as fast as Math.exp and
  // accurate to 2e-15.
  const PARTS = 32;
  const REACH = 40;                    // tanh(20) rounds to 1
  const ORIGIN = PARTS * 60;
  const POWERS = Float64Array.from({ length: 2 * ORIGIN + 1 }, (_, k) => 2 ** ((k - ORIGIN) / PARTS));
  // ln 2 in two parts. The first has so few digits that its multiples are exact.
  const [LN2, LN2_REST] = [6.93147180369123816490e-1 / PARTS, 1.90821492927058770002e-10 / PARTS];
  const SCALE = PARTS / Math.LN2;

  // `all` contains all numbers of the block. An address in bytes, divided by 8, is an index.
  function plainLoops(all) {
    // out_kp = bases_k + Σ_j w[k·unitStep + j·inputStep]·h_jp for every unit k and every point p. bases: 0 if there are
    // none. Two units and four points are computed at once, so that each number that is loaded is used at least twice.
    // A last unit without a partner is paired with itself.
    function weigh(w, unitStep, inputStep, bases, units, inputs, h, out, room) {
      for (let k = 0; k < units; k += 2) {
        const l = Math.min(k + 1, units - 1);
        const [fromK, fromL] = [w / 8 + k * unitStep, w / 8 + l * unitStep];
        const [baseK, baseL] = bases ? [all[bases / 8 + k], all[bases / 8 + l]] : [0, 0];
        pair(fromK, fromL, inputStep, baseK, baseL, inputs, h / 8, out / 8 + k * room, out / 8 + l * room, room);
      }
    }

    function pair(fromK, fromL, step, baseK, baseL, inputs, h, atK, atL, room) {
      for (let i = 0; i < room; i += 4) {
        let k0 = baseK, k1 = baseK, k2 = baseK, k3 = baseK;
        let l0 = baseL, l1 = baseL, l2 = baseL, l3 = baseL;
        for (let j = 0, u = 0, p = h + i; j < inputs; j++, u += step, p += room) {
          const wk = all[fromK + u], wl = all[fromL + u];
          const h0 = all[p], h1 = all[p + 1], h2 = all[p + 2], h3 = all[p + 3];
          k0 += wk * h0;
          k1 += wk * h1;
          k2 += wk * h2;
          k3 += wk * h3;
          l0 += wl * h0;
          l1 += wl * h1;
          l2 += wl * h2;
          l3 += wl * h3;
        }
        all[atK + i] = k0;
        all[atK + i + 1] = k1;
        all[atK + i + 2] = k2;
        all[atK + i + 3] = k3;
        all[atL + i] = l0;
        all[atL + i + 1] = l1;
        all[atL + i + 2] = l2;
        all[atL + i + 3] = l3;
      }
    }

    // Adds Σ_p z_kp·h_ip to the element (k, i) of `gradient`, a matrix (units, inputs).
    function outer(gradient, units, inputs, z, h, room) {
      for (let k = 0; k < units; k += 2) {
        for (let i = 0; i < inputs; i += 2) {
          block(gradient / 8, inputs, z / 8, k, Math.min(k + 1, units - 1), h / 8, i, Math.min(i + 1, inputs - 1), room);
        }
      }
    }

    function block(gradient, inputs, z, k, l, h, i, j, room) {
      let ki = 0, kj = 0, li = 0, lj = 0;
      for (let p = 0, zk = z + k * room, zl = z + l * room, hi = h + i * room, hj = h + j * room; p < room; p++) {
        const vk = all[zk + p], vl = all[zl + p], vi = all[hi + p], vj = all[hj + p];
        ki += vk * vi;
        kj += vk * vj;
        li += vl * vi;
        lj += vl * vj;
      }
      all[gradient + k * inputs + i] += ki;
      if (j !== i) all[gradient + k * inputs + j] += kj;
      if (l === k) return;
      all[gradient + l * inputs + i] += li;
      if (j !== i) all[gradient + l * inputs + j] += lj;
    }

    // The sum of n numbers.
    function total(z, n) {
      let sum = 0;
      for (let i = z / 8; i < z / 8 + n; i++) sum += all[i];
      return sum;
    }

    // z = tanh(z) for n numbers, in place. NaN stays NaN, so that a game that has diverged is noticed.
    function tanh(z, n) {
      for (let i = z / 8; i < z / 8 + n; i++) {
        const v = Math.min(Math.max(2 * all[i], -REACH), REACH);
        const k = Math.floor(v * SCALE + 0.5);
        const r = v - k * LN2 - k * LN2_REST;
        const series = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r / 120))));
        all[i] = 1 - 2 / (POWERS[(k + ORIGIN) | 0] * series + 1);
      }
    }

    // out = v·(1 − h²) for n numbers: the product with the derivative of tanh where tanh is h.
    function flatten(v, h, out, n) {
      for (let i = 0; i < n; i++) all[out / 8 + i] = all[v / 8 + i] * (1 - all[h / 8 + i] ** 2);
    }

    // up −= 2·h·before·upSlope for n numbers: the slope of tanh depends on its input.
    function bend(up, h, before, upSlope, n) {
      for (let i = 0; i < n; i++) all[up / 8 + i] -= 2 * all[h / 8 + i] * all[before / 8 + i] * all[upSlope / 8 + i];
    }

    return { weigh, outer, total, tanh, flatten, bend };
  }

  return { Workspace };
}
