// The settings of ToyGAN, in a panel that can be folded away. Every setting can be changed during the game. A control
// is [name, words, kind, …]. `panel` builds all controls and returns a function that updates them.

const RATES = { low: -5, high: 0, step: 0.05 };       // powers of ten
const SETTINGS = {
  "Data and noise": [
    ["data", "data", "choice", [["normal"], ["two modes"], ["three modes"], ["uniform"], ["log-normal"], ["skyline"],
      ["drawn", "drawn by hand"]]],
    ["z", "noise z", "choice", [["uniform", "uniform on ±1"], ["normal"]]],
    ["batch", "points per batch", "choice", [[16], [64], [256], [1024]]],
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
    ["d_steps", "D steps per round", "choice", [[1], [2], [3], [5], [10], [20]]],
    ["g_steps", "then G steps", "choice", [[1], [2], [3], [5], [10], [20]]],
    ["alternating", "take turns (otherwise both move at once)", "tick"],
    ["optimizer_d", "D’s optimizer", "choice", [["sgd", "plain gradient"], ["adam", "Adam"]]],
    ["optimizer_g", "G’s optimizer", "choice", [["sgd", "plain gradient"], ["adam", "Adam"]]],
    ["beta1", "Adam’s β₁", "real", 0, 0.999, 0.1, (s) => [s.optimizer_d, s.optimizer_g].includes("adam")],
    ["beta2", "Adam’s β₂", "real", 0, 0.9999, 0.001, (s) => [s.optimizer_d, s.optimizer_g].includes("adam")],
  ],
  "Players": [
    ["players", "players", "choice", [["network", "small networks"], ["dirac", "Dirac-GAN"]]],
    ["width_g", "G: units per layer", "choice", [[2], [4], [8], [16], [32]], (s) => s.players === "network"],
    ["depth_g", "G: hidden layers", "choice", [[0], [1], [2], [3]], (s) => s.players === "network"],
    ["width_d", "D: units per layer", "choice", [[2], [4], [8], [16], [32]], (s) => s.players === "network"],
    ["depth_d", "D: hidden layers", "choice", [[1], [2], [3]], (s) => s.players === "network"],
    ["start", "initial shift of G", "real", -10, 10, 0.5, (s) => s.players === "network"],
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
      // A value set from Python that is not in the list is added.
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
    if (event.key === "Enter") input.onchange();      // JupyterLab suppresses the default effect of this key
    // step="any" allows every number; the arrow keys still change it by a sensible amount.
    const by = { ArrowUp: step, ArrowDown: -step }[event.key];
    if (!by) return;
    event.preventDefault();
    input.value = Number(Math.min(Math.max(Number(input.value) + by, min), max).toPrecision(6));
    input.onchange();
  };
  return { label: element("label", {}, words, input), sync(s) {
    if (input !== input.getRootNode().activeElement) input.value = s[name];     // never overwrites what is being typed
    input.disabled = !when(s);
  } };
}

// Returns {groups, sync}: the fieldsets by title, and a function that shows the settings in all controls.
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
