// The messages of ToyGAN, and the style of its controls.

const BESIDE = 980;       // CSS pixels, times the type size; from this width on, the settings are next to the picture
const MORE = `
.course-widget.toy-gan { max-width: 1880px; }       /* fills a screen of 1,920 pixels */
.course-widget .chip { border-radius: 17px; padding: 2px 11px; }
.course-widget .chip[aria-pressed=true] { background: var(--pressed); border-color: var(--chosen); font-weight: 600; }
.course-widget .layer { padding: 2px 9px; min-height: 30px; font-size: .93em; display: inline-flex; gap: 7px; align-items: center; }
.course-widget .layer[aria-pressed=false] { color: var(--quiet); background: var(--paper); border-style: dashed; }
.course-widget .layer[aria-pressed=false] i { opacity: .25; }
.course-widget .layer[aria-pressed=true]::before { content: "✓"; content: "✓" / ""; }
.course-widget .layer i { display: inline-block; width: 24px; height: 0; border-top: 0 solid; font-style: normal; }
.course-widget .layer i.sign { width: auto; height: auto; line-height: 1; font-weight: 700; }
.course-widget .watch { margin: 4px 0; min-height: 1.4em; }
.course-widget .now { margin: 2px 0; font-variant-numeric: tabular-nums; display: flex; flex-wrap: wrap; gap: 0 16px; }
.course-widget .now .role { font-weight: 600; }
.course-widget details { margin: 4px 0 0; }
.course-widget summary { cursor: pointer; padding: 5px 2px; font-weight: 600; }
.course-widget .groups { columns: 280px; column-gap: 8px; }
.course-widget .kept { display: flex; gap: 6px; margin: 4px 0; }
.course-widget .kept button:first-child { flex: 1; text-align: left; }
.course-widget.beside .stage { display: grid; grid-template-columns: minmax(0, 1fr) 322px; column-gap: 12px; }
.course-widget.beside.large .stage { grid-template-columns: minmax(0, 1fr) 420px; }
.course-widget.beside details { height: 0; min-height: 100%; overflow: auto; padding: 0 6px; }   /* as tall as the picture */
.course-widget fieldset { border: 1px solid var(--frame); border-radius: 6px; margin: 0 0 8px; padding: 2px 10px 8px; min-width: 0;
  break-inside: avoid; }
.course-widget legend { font: inherit; font-weight: 600; width: auto; margin: 0; padding: 0 4px; border: 0; color: var(--ink); }
.course-widget fieldset label { display: flex; justify-content: space-between; margin: 3px 0; min-height: 30px; }
.course-widget fieldset select { max-width: 60%; }
.course-widget fieldset label.tick { justify-content: flex-start; }
.course-widget fieldset input[type=range] { flex-shrink: 9; min-width: 56px; }     /* shrinks before its label wraps */
.course-widget input[type=checkbox] { width: 18px; height: 18px; margin: 0; accent-color: var(--chosen); }
.course-widget input[type=number] { font: inherit; width: 6.5em; min-height: 30px; padding: 1px 6px; color: var(--ink); background: var(--paper);
  border: 1px solid var(--line); border-radius: 6px; }
.course-widget [disabled] { opacity: .45; }
.course-widget .slow { border-left: 4px solid ${COLOUR.sky}; background: var(--note); padding: 6px 12px; margin: 6px 0; border-radius: 0 6px 6px 0; }
.course-widget .slow ol { margin: 4px 0; padding-left: 1.5em; }
.course-widget .slow li { color: var(--quiet); margin: 1px 0; }
.course-widget .slow li[aria-current] { color: var(--ink); font-weight: 600; }
.course-widget .slow small { color: var(--quiet); }
/* the line samples match the picture, which keeps its colours and its white background */
@media not print {
  .course-widget.dark .layer i { background: #fff; box-shadow: 0 0 0 4px #fff; border-radius: 1px; }
}
@media (forced-colors: active) {
  .course-widget .layer i { forced-color-adjust: none; background: #fff; box-shadow: 0 0 0 4px #fff; }
}
@media (max-height: 800px) { .course-widget .slow li:not([aria-current]) { display: none; } }
.course-widget .reached { color: var(--quiet); font-size: .87em; }

.course-widget.large .groups { columns: 400px; }
.course-widget.large button, .course-widget.large select { min-height: 44px; }
.course-widget.slowly { position: relative; }
.course-widget.slowly .status { position: absolute; top: 0; left: 0; margin: 0; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
.course-widget.large { font-size: 21px; }`;

// The five steps of each player's update in slow motion. `shows` lists what is drawn: z noise, m arrows of G, g
// generated points, r real points, p pushes. `scores` lists the points whose scores by D are drawn.
const SLOW = {
  d: [
    { shows: "z", says: "Draw a batch of noise z." },
    { shows: "zmg", says: "G maps each z to a point x = G(z), in green. G does not change now." },
    { shows: "zmgr", says: "Draw as many real points from the data, in black." },
    { shows: "gr", scores: "gr", says: "D scores every point. High scores are right for black points and low ones for green; D’s loss measures the error." },
    { shows: "gr", scores: "gr", says: "D’s weights take one step down that loss: the blue line rises where black is dense and falls where green is dense." },
  ],
  g: [
    { shows: "z", says: "Draw a new batch of noise z. No real points are needed, because G never sees any." },
    { shows: "zmg", says: "G maps each z to x = G(z)." },
    { shows: "g", scores: "g", says: "D is frozen now and scores the green points. G’s loss is low where D is fooled." },
    { shows: "gp", scores: "g", says: "The gradient flows back through D. The slope of D at each point gives the direction and strength of the push." },
    { shows: "zmgp", says: "G’s weights take one step: the points follow the arrows as closely as one network can move them all." },
  ],
};
const NAMES = { d: "The discriminator’s update", g: "The generator’s update" };
const PHASE = 2.6;        // seconds per step of slow motion
const SPEEDS = [["slow", "slow motion"], ["1/6", "5 rounds per second"], ["1", "30 rounds per second"], ["2", "60 rounds per second"],
  ["4", "120 rounds per second"], ["5", "150 rounds per second"], ["10", "300 rounds per second"]];
const LAYERS = [
  ["data", "data p(x)", "border-top: 3px dotted #000"], ["q", "generator q(x)", `border-top: 4px solid ${COLOUR.bound}`],
  ["d", "D(x)", `border-top: 3px dashed ${COLOUR.model}`], ["d_star", "D*(x), the best D", `border-top: 1.5px solid ${COLOUR.model}`],
  ["map", "z → x", "↗", "#5A5A5A"], ["push", "push on G", "➔", COLOUR.gap],
];
// With the Wasserstein loss D is not a probability. Its value differs from W1 as far as the penalty or the clipping
// allows its slope to differ from 1.
const CRITIC = { d: "critic D(x)", d_star: "best critic of slope 1" };

// The text for one of the ten steps, under the current settings.
function said(player, phase, { freeze_d, alternating }) {
  if (player === "g" && phase === 2 && !freeze_d) {
    return "D scores the green points. D is not frozen, so in the last step it learns to call them real.";
  }
  if (player === "d" && phase === 4 && !alternating) {
    return "D’s step is computed but not taken yet: both players move at once, at the end of G’s update.";
  }
  return SLOW[player][phase].says;
}

// Shows the five steps as a list, with the current one marked.
function explain(box, slow, settings) {
  box.hidden = !slow;
  const key = slow ? `${slow.player}${slow.phase}${slow.narrow}` : "";
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  if (!slow) return;
  const items = SLOW[slow.player].map((_, i) => {
    const item = element("li", { textContent: said(slow.player, i, settings) });
    item.value = i + 1;                 // keeps the number even if the other items are hidden
    if (i === slow.phase) item.setAttribute("aria-current", "step");
    return item;
  });
  const few = `Shown: ${POINTS} evenly spaced values of z${slow.player === "d" ? " and as many real points" : ""}. ` +
    `The batch: ${settings.batch}${slow.player === "d" ? " of each" : ""}, drawn at random.` +
    (slow.narrow ? " G has only begun to learn, and all its points are in one place. Play a few rounds to see more." : "");
  box.replaceChildren(element("b", { textContent: NAMES[slow.player] }), element("ol", {}, ...items),
    element("small", { textContent: few }));
}

const KEYS = "Keys: space plays and pauses; ← goes back in time; → goes forward, and at the end plays one round; " +
  "in slow motion → takes the next step; d and g take one step of D or G; r resets; s is slow motion; l is large type; Esc ends drawing;";

// The numbers shown below the picture: [words, colour].
function facts(now, settings) {
  const found = [[`round ${now.step.toLocaleString("en")}`], [`updates: D ${now.d_updates}, G ${now.g_updates}`],
    [`JSD ${brief(now.jsd)} nats`, INK.push]];
  if (Number.isFinite(now.accuracy) && settings.loss !== "wasserstein") found.push([`D right on ${number(100 * now.accuracy, 0)} %`, INK.d]);
  if (settings.players === "network") found.push([`modes ${now.modes} of ${now.all_modes}`, INK.g]);
  if (now.outside > 0.005) found.push([`${number(100 * now.outside, 0)} % of G outside`, INK.g]);
  return found;
}
