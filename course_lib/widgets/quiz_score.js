// The computations of Quiz: the order of the questions, the score with its interval, the count of hands in a class.

const [LECTURE, CHANCE, Z] = [0.21, 0.5, 1.959963984540054];

// Pseudorandom numbers in [0, 1) from a seed, the same in every browser (mulberry32).
function random(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// The questions of a round, in order: n pairs with the kind on the left, or n real and n made images.
function order(n, mode, seed) {
  const draw = random(2 * seed + (mode === "one" ? 1 : 0));
  const asked = Array.from({ length: mode === "one" ? 2 * n : n }, (_, k) =>
    (mode === "one" ? { image: k % n, shown: k < n ? "real" : "made" }
      : { image: k, left: draw() < 0.5 ? "real" : "made" }));
  for (let k = asked.length - 1; k > 0; k--) {
    const other = Math.floor(draw() * (k + 1));
    [asked[k], asked[other]] = [asked[other], asked[k]];
  }
  return asked;
}

// An interval narrower than this distinguishes guessing (50 %) from the lecture's 21 %, 29 points lower.
const ENOUGH = 0.25;

// The number of further images that make the interval narrow enough if the share does not change; 0 if it is narrow
// enough already. Before the first answer, the share is taken to be one half, which needs the most images.
function stillNeeded(got) {
  const [share, done] = got ? [got.share, got.images] : [CHANCE, 0];
  let n = Math.max(done, 1);
  for (let [low, high] = wilson(share, n); high - low >= ENOUGH; [low, high] = wilson(share, n)) n += 1;
  return n - done;
}

function wilson(share, n) {
  const [centre, half] = [share + (Z * Z) / (2 * n), Z * Math.sqrt((share * (1 - share)) / n + (Z / (2 * n)) ** 2)];
  return [Math.max(0, (centre - half) / (1 + (Z * Z) / n)), Math.min(1, (centre + half) / (1 + (Z * Z) / n))];
}

// The score of one round's answers, as in Quiz.score in Python.
function score(round, mode) {
  const rate = (kind) => {
    const rows = round.filter((a) => (mode === "pairs" ? kind === "made" : a.shown === kind));
    if (!rows.length) return null;
    const seat = (a) => (mode === "pairs" ? Number(a.left !== "made") : Number(kind === "real"));
    const hands = rows.reduce((sum, a) => sum + a.votes[seat(a)], 0);
    const voters = rows.reduce((sum, a) => sum + a.votes[0] + a.votes[1], 0);
    const share = hands / voters;
    return { images: rows.length, hands, voters, share, interval: wilson(share, rows.length) };
  };
  return { made_taken_for_real: rate("made"), real_called_made: rate("real") };
}

// Converts what was typed in (hands, hands for the right image, people) to votes, or throws an Error.
function count(mode, [first, second, people]) {
  const wanted = mode === "pairs" ? [first, second] : [first, people];
  if (wanted.some((t) => t === "")) {
    throw new Error(mode === "pairs" ? "Enter the number of hands for left and for right."
      : "Enter the number of hands for “real” and the number of people.");
  }
  const wrong = [...wanted, people].find((t) => !/^\d{0,5}$/.test(t));
  if (wrong) throw new Error(`Hands and people must be whole numbers from 0 to 99999, not “${wrong}”.`);
  const [a, b, all] = [first, second, people].map(Number);
  const hands = mode === "pairs" ? a + b : a;
  if (people !== "" && hands > all) throw new Error(`There are more hands (${hands}) than people (${all}). Count again.`);
  if (mode === "pairs" ? !hands : !all) throw new Error("Nobody has voted. At least one hand or person is needed.");
  return mode === "pairs" ? [a, b] : [a, all - a];
}

