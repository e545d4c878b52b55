// The numbers of Quiz, without a screen: the order of the questions, the score with its interval, the hands of a class.

const [LECTURE, CHANCE, Z] = [0.21, 0.5, 1.959963984540054];

// Numbers in [0, 1) from a seed, alike in every browser (mulberry32).
function random(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// What a round asks, in order: n pairs with the kind that stands on the left, or n real and n made images.
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

// An interval narrower than this tells guessing (50 %) from the lecture's 21 %, which lie 29 points apart.
const ENOUGH = 0.25;

// How many more images make the interval so narrow, if the share stays as it is; 0 when it is. Without any answer: for a
// share of one half, which takes most.
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

// As Quiz.score in Python: of one round's answers.
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

// The votes that were typed in, or an Error with one sentence. The texts: hands, hands for the right side, people.
function count(mode, [first, second, people]) {
  const wanted = mode === "pairs" ? [first, second] : [first, people];
  if (wanted.some((t) => t === "")) {
    throw new Error(mode === "pairs" ? "Enter the hands for left and the hands for right."
      : "Enter the hands for “real”, and how many people there are.");
  }
  const wrong = [...wanted, people].find((t) => !/^\d{0,5}$/.test(t));
  if (wrong) throw new Error(`Hands and people are whole numbers from 0 to 99999, and “${wrong}” is none.`);
  const [a, b, all] = [first, second, people].map(Number);
  const hands = mode === "pairs" ? a + b : a;
  if (people !== "" && hands > all) throw new Error(`${hands} hands are more than ${all} people: count again.`);
  if (mode === "pairs" ? !hands : !all) throw new Error("Nobody has voted: at least one hand or person is needed.");
  return mode === "pairs" ? [a, b] : [a, all - a];
}

