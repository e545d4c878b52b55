// The settings of ToyGAN, folded away: every one of them may be changed while the game is played. A control is
// [name, words, kind, …]; `panel` builds them all and returns what brings them up to date.

const RATES = { low: -5, high: 0, step: 0.05 };       // powers of ten
const SETTINGS = {
  "Data and noise": [
    ["data", "data", "choice", [["normal"], ["two modes"], ["three modes"], ["uniform"], ["log-normal"], ["skyline"],
      ["drawn", "drawn by hand"]]],
    ["z", "noise z", "choice", [["uniform", "uniform on ±1"], ["normal"]]],
    ["batch", "points in a batch", "choice", [[16], [64], [256], [1024]]],
    ["seed", "seed of the noise", "whole", 0, 2 ** 32 - 1],
  ],
  "Loss": [
    ["loss", "loss", "choice", [["minimax", "minimax"], ["nonsaturating", "non-saturating"],
      ["least_squares", "least squares"], ["wasserstein", "Wasserstein"]]],
    ["constraint", "critic kept smooth by", "choice", [["clip", "weight clipping"],
      ["gradient_penalty", "gradient penalty"]], (s) => s.loss === "wasserstein"],
    ["clip", "weights clipped at ±", "real", 0.001, 10, 0.01, (s) => s.loss === "wasserstein" && s.constraint === "clip"],
    ["penalty", "weight of the penalty", "real", 0, 1000, 0.5,
      (s) => s.loss === "wasserstein" && s.constraint === "gradient_penalty"],
    ["r1", "R1, the penalty γ", "real", 0, 1000, 0.1],
    ["freeze_d", "D is frozen while G learns", "tick"],
  ],
  "Learning": [
    ["lr_d", "D’s learning rate", "rate"],
    ["lr_g", "G’s learning rate", "rate"],
    ["d_steps", "D steps in a round", "choice", [[1], [2], [3], [5], [10], [20]]],
    ["g_steps", "then G steps", "choice", [[1], [2], [3], [5], [10], [20]]],
    ["alternating", "in turns (else both at once)", "tick"],
    ["optimizer_d", "D’s optimizer", "choice", [["sgd", "plain gradient"], ["adam", "Adam"]]],
    ["optimizer_g", "G’s optimizer", "choice", [["sgd", "plain gradient"], ["adam", "Adam"]]],
    ["beta1", "Adam’s β₁", "real", 0, 0.999, 0.1, (s) => [s.optimizer_d, s.optimizer_g].includes("adam")],
    ["beta2", "Adam’s β₂", "real", 0, 0.9999, 0.001, (s) => [s.optimizer_d, s.optimizer_g].includes("adam")],
  ],
  "Players": [
    ["players", "players", "choice", [["network", "small networks"], ["dirac", "Dirac-GAN"]]],
    ["width_g", "G: units in a layer", "choice", [[2], [4], [8], [16], [32]], (s) => s.players === "network"],
    ["depth_g", "G: hidden layers", "choice", [[0], [1], [2], [3]], (s) => s.players === "network"],
    ["width_d", "D: units in a layer", "choice", [[2], [4], [8], [16], [32]], (s) => s.players === "network"],
    ["depth_d", "D: hidden layers", "choice", [[1], [2], [3]], (s) => s.players === "network"],
    ["start", "shift of G’s start", "real", -10, 10, 0.5, (s) => s.players === "network"],
  ],
};

const shortly = (value) => (value >= 0.001 || !value ? String(Number(value.toPrecision(2))) : value.toExponential(1));

function control([name, words, kind, ...more], set) {
  const when = typeof more[more.length - 1] === "function" ? more[more.length - 1] : () => true;
  const change = (value) => set({ [name]: value });
  if (kind === "choice") {
    const [options] = more;
    const made = choice(words, options.map(([value, text]) => [value, text ?? value]), words,
      (value) => change(typeof options[0][0] === "number" ? Number(value) : value));
    return { label: made.label, sync(s) {
      // A value from Python that is not in the list is put there.
      if (![...made.select.options].some((o) => o.value === String(s[name]))) {
        made.select.append(element("option", { value: s[name], textContent: s[name] }));
      }
      made.select.value = s[name];
      made.select.disabled = !when(s);
    } };
  }
  if (kind === "rate") {
    const made = slider(words, { min: RATES.low, max: RATES.high, step: RATES.step, label: words,
      oninput: (power) => change(Number((10 ** power).toPrecision(3))) });
    return { label: made.label, sync(s) {
      made.input.value = Math.log10(Math.max(s[name], 1e-5));
      made.output.textContent = shortly(s[name]);
      made.input.setAttribute("aria-valuetext", shortly(s[name]));
    } };
  }
  const input = element("input", { type: kind === "tick" ? "checkbox" : "number" });
  input.setAttribute("aria-label", words);
  if (kind === "tick") {
    input.onchange = () => change(input.checked);
    return { label: element("label", { className: "tick" }, input, words), sync(s) { input.checked = s[name]; } };
  }
  const [min, max, step = 1] = more;
  Object.assign(input, { min, max, step: kind === "whole" ? 1 : "any" });
  input.onchange = () => {
    const value = Math.min(Math.max(Number(input.value), min), max);
    if (input.value === "" || !Number.isFinite(value)) return;
    input.value = kind === "whole" ? Math.round(value) : value;
    change(Number(input.value));
  };
  input.onkeydown = (event) => {
    if (event.key === "Enter") input.onchange();      // JupyterLab keeps this key's usual effect from happening
    // step="any" takes every number; the arrow keys still move by a sensible one.
    const by = { ArrowUp: step, ArrowDown: -step }[event.key];
    if (!by) return;
    event.preventDefault();
    input.value = Number(Math.min(Math.max(Number(input.value) + by, min), max).toPrecision(6));
    input.onchange();
  };
  return { label: element("label", {}, words, input), sync(s) {
    if (input !== input.getRootNode().activeElement) input.value = s[name];     // never what is being typed
    input.disabled = !when(s);
  } };
}

// {groups, sync}: the fieldsets by their title, and a function that shows the settings in all controls.
function panel(set) {
  const groups = {};
  const controls = [];
  for (const [title, rows] of Object.entries(SETTINGS)) {
    const made = rows.map((row) => control(row, set));
    controls.push(...made);
    groups[title] = element("fieldset", {}, element("legend", { textContent: title }), ...made.map((c) => c.label));
  }
  return { groups, sync: (settings) => controls.forEach((c) => c.sync(settings)) };
}
