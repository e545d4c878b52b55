// Starts reveal.js, and brings a slide's widget to life when the slide is first shown.

// A widget's type is scaled until the widget fills its place. Its controls stand beside its picture.
const LARGEST = 1.7;
const SMALLEST = 1.1;
const CONTROLS = 292;      // CSS pixels of the widget: the column of controls
const PRESENTER = `
html, body { margin: 0; background: #fff; }
.course-widget { border: 0; border-radius: 0; max-width: none !important; padding: 4px 6px; min-height: 100vh; }
.course-widget .said { display: block; }
.with-column .course-widget > :not(canvas, .said), .with-column .stage > div > :not(canvas) { margin-left: calc(100% - ${CONTROLS}px); }
.with-column .stage, .with-column .stage > div { display: contents !important; }
.with-column .stage details { margin-left: calc(100% - ${CONTROLS}px); height: auto !important; overflow: visible !important; }
.with-column canvas { position: absolute; left: 6px; top: 4px; width: calc(100% - ${CONTROLS + 20}px) !important; }
.with-column label.wide { flex-wrap: wrap; }
.with-column .groups { columns: 1 !important; }
.in-halves .stage { width: 48%; }
.in-halves .after { position: absolute; left: 51%; top: 8px; width: 48%; }
`;
const IN_FRAME = `
const keys = { PageDown: "next", PageUp: "prev", Escape: "focus" };
addEventListener("keydown", (event) => { if (keys[event.key]) parent.fromWidget(keys[event.key]); });
`;
const LAYOUT = { EMStepper: "with-column", ElboBars: "with-column", CodeLine: "with-column", ToyGAN: "with-column",
  Quiz: "in-halves" };

// A presenter's clicker sends Page Down, also while the widget has the focus.
window.fromWidget = (what) => {
  if (what === "focus") window.focus();
  else Reveal[what]();
};

function open(place) {
  const { kind, html } = JSON.parse(place.querySelector("script").textContent);
  const frame = document.createElement("iframe");
  frame.title = `Widget ${kind}`;
  const sharp = `Object.defineProperty(window, "devicePixelRatio", { get: () => parent.devicePixelRatio * ${LARGEST} });`;
  frame.srcdoc = `<!doctype html><html lang="en" class="${LAYOUT[kind] ?? ""}"><head><meta charset="utf-8"><title>${kind}</title>
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

// The largest type with which the whole widget can be seen.
function fit(place) {
  const frame = place.querySelector("iframe");
  const widget = frame?.contentDocument?.querySelector(".course-widget");
  if (!widget || !place.clientWidth) return;
  const unit = Math.min(innerWidth / 1280, innerHeight / 720);
  for (let k = LARGEST; k >= SMALLEST; k -= 0.05) {
    const scale = k * unit;
    Object.assign(frame.style, { width: `${place.clientWidth / scale}px`, height: `${place.clientHeight / scale}px`,
      transform: `scale(${scale})` });
    place.dataset.scale = k.toFixed(2);
    const floor = Math.max(...[...widget.querySelectorAll("*")].filter((e) => !e.closest(".said, details:not([open]) > :not(summary)"))
      .map((e) => e.getBoundingClientRect().bottom));
    const wide = frame.contentDocument.documentElement.scrollWidth <= place.clientWidth / scale + 1;
    if (floor <= place.clientHeight / scale + 1 && wide) break;
  }
}

function enliven() {
  const slide = Reveal.getCurrentSlide();
  for (const place of slide?.querySelectorAll(".live") ?? []) {
    if (place.querySelector("iframe")) fit(place);
    else open(place);
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
  Reveal.addKeyBinding({ keyCode: 84, key: "T", description: "Light or dark" }, changeTheme);
  document.documentElement.dataset.ready = "true";
});
addEventListener("resize", () => document.querySelectorAll(".live").forEach(fit));
