// Starts reveal.js, and starts the widget of a slide when the slide is first shown.

// The possible scales of a widget. The largest one at which the whole widget is visible is used.
const SCALES = [1.2, 1.25, 1.3, 1.35, 1.4, 1.45, 1.5, 1.55, 1.6, 1.65, 1.7];
const LARGEST = SCALES.at(-1);
// The width of the column of controls next to the picture, in CSS pixels of the widget.
const CONTROLS = { EMStepper: 250, ElboBars: 300, CodeLine: 240, ToyGAN: 372 };
const OTHERS = { Quiz: "in-halves", LatentExplorer: "low-plane" };
const PRESENTER = `
html, body { margin: 0; background: #fff; color: #1d1d1d; }
[data-theme=dark], [data-theme=dark] body { background: #1b1f24; color: #f0f0f0; }
.course-widget .full-screen { display: none; }
.course-widget { border: 0; border-radius: 0; max-width: none !important; padding: 4px 6px; min-height: 100vh; }
.with-column .course-widget > :not(canvas, .said), .with-column .stage > div > :not(canvas) { margin-left: calc(100% - var(--controls)); }
.with-column .stage, .with-column .stage > div { display: contents !important; }
.with-column .stage details { margin-left: calc(100% - var(--controls)); height: auto !important; overflow: visible !important; }
.with-column canvas { position: absolute; left: 6px; top: 4px; width: calc(100% - var(--controls) - 30px) !important; }
.with-column label.wide { flex-wrap: wrap; }
.with-column .reached { display: none; }
.with-column .groups { columns: 1 !important; }
.with-column .layer, .with-column .chip { padding: 1px 8px; }
.with-column .row { gap: 4px 7px; margin: 3px 0; }
.with-column p { margin: 3px 0; }
.low-plane .row > div:first-child { flex: 0 0 396px !important; }
.in-halves .course-widget > :not(.after) { max-width: 49%; }
.in-halves .after { position: absolute; left: 51%; top: 8px; width: 48%; }
`;
const IN_FRAME = `
const keys = { PageDown: "next", PageUp: "prev", Escape: "focus" };
addEventListener("keydown", (event) => { if (keys[event.key]) parent.fromWidget(keys[event.key]); });
// The frame follows the theme of the slides.
const [root, slides] = [document.documentElement, parent.document.documentElement];
const wear = () => { root.dataset.theme = slides.dataset.theme; };
new MutationObserver(wear).observe(slides, { attributeFilter: ["data-theme"] });
wear();
`;
// A presenter's clicker sends Page Down, which must also work while the widget has the focus.
window.fromWidget = (what) => {
  if (what === "focus") window.focus();
  else Reveal[what]();
};

function bringToLife(place) {
  const { kind, html } = JSON.parse(place.querySelector("script").textContent);
  const frame = document.createElement("iframe");
  frame.title = `Widget ${kind}`;
  const sharp = `Object.defineProperty(window, "devicePixelRatio", { get: () => parent.devicePixelRatio * ${LARGEST} });`;
  const layout = CONTROLS[kind] ? "with-column" : OTHERS[kind];
  frame.srcdoc = `<!doctype html><html lang="en" class="${layout}" style="--controls: ${CONTROLS[kind]}px"><head><meta charset="utf-8"><title>${kind}</title>
    <style>${PRESENTER}</style><script>${sharp}${IN_FRAME}<\/script></head><body><main>${html}</main></body></html>`;
  place.replaceChildren(frame);
  const ready = setInterval(() => {
    const inside = frame.contentDocument;
    if (!inside?.querySelector(".course-widget canvas, .course-widget .cards")) return;
    clearInterval(ready);
    if (kind === "Quiz") inside.querySelector("input[type=checkbox]")?.click();      // class mode
    fit(place);
  }, 100);
}

const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 40)));

// Waits until the layout has settled, and returns the position of the widget's lower edge.
async function settled(widget) {
  let [before, low] = [-1, lowest(widget)];
  for (let n = 0; n < 10 && low !== before; n++) {
    await painted();
    await painted();
    [before, low] = [low, lowest(widget)];
  }
  return low;
}

// The position of the widget's lower edge, without content that is folded away.
function lowest(widget) {
  const seen = [...widget.querySelectorAll("*")].filter((e) => !e.closest(".said, details:not([open]) > :not(summary)"));
  return Math.max(...seen.map((e) => e.getBoundingClientRect().bottom));
}

// Sets the largest scale at which the whole widget is visible. A widget redraws itself when its frame changes size.
async function fit(place) {
  const frame = place.querySelector("iframe");
  const widget = frame?.contentDocument?.querySelector(".course-widget");
  if (!widget || !place.clientWidth) return;
  const unit = Math.min(innerWidth / 1280, innerHeight / 720);
  const turn = (place.turn = (place.turn ?? 0) + 1);
  delete place.dataset.scale;
  async function isSeenWhole(scale) {
    const [wide, high] = [place.clientWidth / (scale * unit), place.clientHeight / (scale * unit)];
    Object.assign(frame.style, { width: `${wide}px`, height: `${high}px`, transform: `scale(${scale * unit})` });
    const low = await settled(widget);
    return low <= high + 1 && frame.contentDocument.documentElement.scrollWidth <= wide + 1;
  }
  // Bisection needs at most four tries, because a widget that fits at one scale also fits at every smaller scale.
  let [fits, tooLarge] = [0, SCALES.length];
  while (tooLarge - fits > 1) {
    const middle = (fits + tooLarge) >> 1;
    const seen = await isSeenWhole(SCALES[middle]);
    if (turn !== place.turn) return;       // a newer call has taken over
    if (seen) fits = middle;
    else tooLarge = middle;
  }
  await isSeenWhole(SCALES[fits]);
  if (turn !== place.turn) return;
  place.dataset.scale = SCALES[fits].toFixed(2);
  place.dataset.fits = "true";
}

// A widget may later need more space than at the start, for example for a result or for settings that are unfolded.
function fitAgain() {
  const place = Reveal.getCurrentSlide()?.querySelector(".live[data-fits]");
  const inside = place?.querySelector("iframe")?.contentDocument;
  const widget = inside?.querySelector(".course-widget");
  const scale = place?.dataset.scale;       // undefined while `fit` is running
  if (!widget || !scale || Number(scale) <= SCALES[0]) return;
  if (lowest(widget) > inside.documentElement.clientHeight + 1) fit(place);
}

function enliven() {
  const slide = Reveal.getCurrentSlide();
  for (const place of slide?.querySelectorAll(".live") ?? []) {
    if (place.querySelector("iframe")) fit(place);
    else bringToLife(place);
  }
}

Reveal.initialize({
  plugins: [RevealNotes],
  disableLayout: true,
  hash: true,
  respondToHashChanges: true,
  slideNumber: "c/t",
  controlsTutorial: false,
  transition: "none",
  backgroundTransition: "none",
  pdfSeparateFragments: false,
  keyboard: { 84: changeTheme },
}).then(() => {
  enliven();
  Reveal.on("slidechanged", enliven);
  setInterval(fitAgain, 1000);
  Reveal.addKeyBinding({ keyCode: 84, key: "T", description: "Light or dark" }, changeTheme);
  document.documentElement.dataset.ready = "true";
});
addEventListener("resize", () => document.querySelectorAll(".live").forEach(fit));
