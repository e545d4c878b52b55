// The front end of CodeLine. All images were decoded in advance and are in one sprite: a row of images for each model,
// then each true image that is nearest to some position. A saved page can therefore do all that the notebook can.

const LINES = [[COLOUR.purple, "#A0447A", [9, 5]], [COLOUR.model, COLOUR.model, []], [COLOUR.bound, COLOUR.boundText, [3, 4]],
  [COLOUR.prior, "#555555", [9, 4, 2, 4]]];

function build(core) {
  const model = core.model;
  const [names, limits, [positions, H, W, M], distances, nearest, marks] =
    ["names", "limits", "shape", "distances", "nearest", "marks"].map((name) => model.get(name));
  const known = distances.length > 0;
  const rug = known && marks.flat().length ? 9 * names.length : 0;      // height of the ticks at true images' codes
  let t = model.get("t");
  let [playing, forward] = [false, true];
  const at = () => Math.round(t * (positions - 1));
  const started = t;
  const code = (i, k = at()) => limits[i][0] + (k / (positions - 1)) * (limits[i][1] - limits[i][0]);
  const sprite = element("img", { onload: () => core.redraw() });
  sprite.src = model.get("sprite");

  const sentence = () => `Position ${number(t, 2)}: ${names.map((name, i) => `${name} at code ${number(code(i), 2)}` +
    (known ? ` is ${number(distances[i][at()], 2)} away` : "")).join(", ")}`;

  function go(to) {
    t = Math.min(Math.max(to, 0), 1);
    core.redraw();
  }

  // Reports the position where the walk has stopped to the kernel and to screen readers.
  function tell() {
    core.share({ t });
    core.say(`${sentence()}.`);
  }

  function toggle() {
    playing = !playing;
    if (playing) core.say("Playing along the line and back. Press space to pause.");
    core.plays(playing);
    core.redraw();
    if (!playing) return tell();
    core.run((seconds) => {
      if (!playing) return false;
      go(t + (forward ? 1 : -1) * 0.14 * seconds);    // seven seconds from end to end, and back
      if (t === 0 || t === 1) forward = t === 0;
    });
  }
  const stop = () => { if (playing) toggle(); };
  // Moves by hand: stops playing and reports the new position.
  function move(to) {
    stop();
    go(to);
    tell();
  }
  core.heed("t", () => go(model.get("t")));
  core.say("Walk along the line of codes: press Play, drag on the curves or the images above them, or use the arrow keys.");

  // -- drawing

  function layout(width) {
    const wide = width >= 640;
    const n = names.length;
    const s = Math.min(wide ? 0.2 * width : (width - 10) / 2, 170);      // the side of an image
    const left = 2 * s + 8;
    const x = wide ? left + 62 : 48;
    const w = width - x - 4;
    const film = Math.min(w / 11, 64);
    const top = wide ? 0 : n * (s + 30) + 26;
    const y = top + 16 + n * (film + 4) + 34;
    const h = known ? Math.max(150, n * (s + 30) + 10 - y) : 0;
    return { s, film, x, w, top, y, h, height: Math.max(n * (s + 30) + 22, y + h + 26 + rug) };
  }

  const across = ({ x, w }, part) => x + w / 22 + part * (w - w / 11);     // eleven images; t is at the centre of one
  const picture = (g, place, x, y, w, h) => {
    if (!sprite.naturalWidth) return;
    g.imageSmoothingEnabled = false;
    g.drawImage(sprite, (place % positions) * W, Math.floor(place / positions) * H, W, H, x, y, w, h);
  };

  function drawPair(g, box, i) {
    const y = i * (box.s + 30) + 22;
    const [, ink] = LINES[i];
    text(g, names[i], 0, y + 10, { bold: true, colour: ink, size: 16 });
    text(g, `code ${number(code(i), 2)}`, box.s, y + 10, { align: "right" });
    picture(g, i * positions + at(), 0, y + 22, box.s, box.s);
    if (!known) return;
    picture(g, nearest[i][at()], box.s + 8, y + 22, box.s, box.s);
    text(g, `distance ${number(distances[i][at()], 2)}`, box.s + 8, y + 10, { bold: true, colour: ink });
  }

  function drawFilm(g, box, i) {
    const y = box.top + 16 + i * (box.film + 4);
    for (let n = 0; n < 11; n++) {
      picture(g, i * positions + Math.round((n / 10) * (positions - 1)), across(box, n / 10) - box.film / 2, y,
        box.film - 2, box.film - 2);
    }
    text(g, names[i], box.x - 8, y + box.film / 2, { align: "right", bold: true, colour: LINES[i][1] });
  }

  function drawCurves(g, box) {
    const { x, y, w, h } = box;
    const scale = axis(g, box, 0, 1.12 * Math.max(...distances.flat(), 1e-6));
    const place = across(box, at() / (positions - 1));
    path(g, [place, place], [y, y + h], { colour: COLOUR.ink, width: 1, dash: [4, 4] });
    distances.forEach((row, i) => {
      const [colour, , dash] = LINES[i];
      path(g, row.map((_, k) => across(box, k / (positions - 1))), row.map(scale), { colour, width: 3, dash });
      for (const mark of marks[i].filter((part) => part >= 0 && part <= 1)) {
        const foot = y + h + 4 + 9 * i;
        path(g, [across(box, mark), across(box, mark)], [foot, foot + 7], { colour, width: 1.5 });
      }
    });
    distances.forEach((row, i) => circle(g, place, scale(row[at()]), 7, LINES[i][0], "#fff", 2));
    text(g, w > 460 ? "distance to the nearest true image" : "distance", x, y - 14, { size: 13 });
    names.forEach((name, i) => {
      const right = x + w - 90 * (names.length - 1 - i);
      path(g, [right - 82, right - 54], [y - 14, y - 14], { colour: LINES[i][0], width: 3, dash: LINES[i][2] });
      text(g, name, right - 50, y - 14, { colour: LINES[i][1], bold: true });
    });
  }

  // Draws the current position above the rows of images, and the axis below the curves.
  function drawPlace(g, box) {
    const place = across(box, at() / (positions - 1));
    const y = box.top + 10;
    path(g, [place - 6, place + 6, place, place - 6], [y - 8, y - 8, y + 2, y - 8],
      { colour: COLOUR.ink, width: 1, fill: COLOUR.ink, floor: y - 8 });
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      text(g, String(part), across(box, part), box.y + box.h + 14 + rug, { align: "center", size: 13 });
    }
  }

  function view({ root }) {
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "application");
    const sum = element("p", { className: "parts" });
    const play = playButton("Play: walk along the line", toggle);
    const line = slider("timeline", { min: 0, max: 1, step: 1 / (positions - 1), label: "Timeline: position on the line of codes",
      oninput: (value) => { stop(); go(value); }, onchange: tell });
    line.label.className = "wide";
    const step = button("Step", "Step: one position forward", () => move(t === 1 ? 0 : t + 1 / (positions - 1)));
    const reset = button("Reset", "Reset: back to the start of the walk", () => move(started));
    root.append(element("div", { className: "row" }, play.button, step, reset, line.label), canvas, sum);

    let box = layout(680);
    const inside = (x, y) => x > box.x && x < box.x + box.w && y > box.top && y < box.top + box.height;
    const back = (x) => (x - across(box, 0)) / (across(box, 1) - across(box, 0));
    draggable(canvas, {
      start: (x, y) => (inside(x, y) ? (stop(), go(back(x)), true) : null),
      move: (_, x) => go(back(x)),
      end: tell,
      hover: (x, y) => (inside(x, y) ? "ew-resize" : "default"),
    });
    canvas.onkeydown = (event) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      const to = { Home: 0, End: 1 }[event.key] ?? (by && (at() + by) / (positions - 1));
      if (event.key === " ") toggle();
      else if (to === undefined) return;
      else move(to);
      event.preventDefault();
      event.stopPropagation();        // otherwise the notebook would move to another cell
    };

    return function paint() {
      const { g } = prepare(canvas, (width) => (box = layout(width)).height);
      names.forEach((_, i) => { drawPair(g, box, i); drawFilm(g, box, i); });
      if (known) drawCurves(g, box);
      drawPlace(g, box);
      play.sync(playing);
      line.input.value = t;
      line.output.textContent = number(t, 2);
      sum.textContent = known ? `Left: the decoded image. Right: the nearest of ${M} true images. ` +
        "Distance: the square root of the sum of squared pixel differences." + (rug ? " Ticks: the codes of true images." : "")
        : "Decoded images.";
      core.describe(canvas, `Line of codes. ${sentence()}. The arrow keys move along the line, and space plays.`);
      Object.assign(root.dataset, { t, at: at(), playing, loaded: sprite.naturalWidth, box: JSON.stringify(box),
        distances: JSON.stringify(known ? distances.map((row) => row[at()]) : []) });
    };
  }

  return { view };
}

const definition = widget(build);
export default definition;
