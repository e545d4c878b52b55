// The picture of ToyGAN: the game as in figure 1 of the GAN paper (z below x, with arrows between them), and its curves
// over time. All functions depend only on a scene, and none changes the game.
//   scene = { now, past, table, layers, k, slow, lens, critic, runs, at }
// now: the numbers of one frame (see `read`). past: those of the frames on the timeline. table: {low, high, p} on the
// frame's grid. k: 1, or more for large type.

const INK = { data: COLOUR.data, g: COLOUR.boundText, d: COLOUR.model, push: COLOUR.gapText };
const FLOOR = -Math.log(4);       // the value of the game for q = p and D = D* = ½
const CEILING = Math.log(2);      // the JSD of densities that do not overlap

// plain: omit the chart of the game's value. room: the height of the window.
function layout(width, k, plain, room) {
  const wide = width / k >= 620;
  const left = Math.round(40 * k);
  const inner = { x: left, w: width - left - Math.round(48 * k) };
  const low = room < 850;              // on a laptop or a projector, everything fits on one screen
  const most = low ? 170 : plain && room > 1000 ? 440 : 250;      // the toy GAN's own page fills a large screen
  const plot = { ...inner, y: 8, h: Math.round(Math.max(170, Math.min(most, 0.27 * width))) };
  const ticksY = plot.y + plot.h;
  const line = { ...inner, y: ticksY + Math.round(19 * k), h: 34 };         // the line of the generated points
  const map = { ...inner, y: line.y + line.h, h: wide ? 66 : 54 };
  let y = map.y + map.h + Math.round(26 * k) + 10;
  const order = plain ? [0, null, 1] : [0, 1, 2];
  const columns = wide ? (plain ? 2 : 3) : 1;
  const gap = Math.round(50 * k);
  const each = (width - columns * gap - 8) / columns;
  const head = Math.round(24 * k);
  const tall = wide ? Math.round(Math.max(low ? 84 : 96, Math.min(low ? 84 : 132, 0.13 * width))) : 84;
  const charts = order.map((i) => i !== null && ({ x: gap - 4 + (wide ? i * (each + gap) : 0),
    y: y + head + (wide ? 0 : i * (tall + head + Math.round(24 * k))), w: each, h: tall }));
  const last = charts[2];
  return { plot, line, map, charts, ticksY, height: last.y + last.h + Math.round(22 * k) };
}

const across = (box, table) => (x) => box.x + ((x - table.low) / (table.high - table.low)) * box.w;
const acrossZ = (box, zs) => (z) => box.x + ((z - zs[0]) / (zs[1] - zs[0])) * box.w;

function clipped(g, { x, y, w, h }, draw) {
  g.save();
  g.beginPath();
  g.rect(x, y, w, h);
  g.clip();
  draw();
  g.restore();
}

function arrow(g, x0, y0, x1, y1, colour, width, head) {
  const angle = Math.atan2(y1 - y0, x1 - x0);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  path(g, [x0, x1 - 0.8 * head * cos], [y0, y1 - 0.8 * head * sin], { colour, width });
  g.beginPath();
  g.moveTo(x1, y1);
  g.lineTo(x1 - head * cos + 0.45 * head * sin, y1 - head * sin - 0.45 * head * cos);
  g.lineTo(x1 - head * cos - 0.45 * head * sin, y1 - head * sin + 0.45 * head * cos);
  g.fillStyle = colour;
  g.fill();
}

// The length of a push in pixels. Pushes may differ a thousandfold between losses, so the scale is logarithmic except
// near 0.
const reach = (push) => 8 * Math.asinh(push / 0.03);

// Returns {low, high, p}, the density of the data on the cells of the picture.
function tableOf(settings, tables) {
  const { low, dx, p } = lineOf(settings, tables.lines);
  return { low, high: low + dx * CELLS, p: p.subarray(1, -1).map((v) => v / dx) };
}

// A blend of two moments, for a smooth transition.
function between(from, to, part) {
  const mix = (name) => to[name].map((v, i) => from[name][i] + part * (v - from[name][i]));
  return { ...to, ...Object.fromEntries(["q", "d", "d_star", "x", "push_x"].map((name) => [name, mix(name)])) };
}

// Lets the axes of the plot follow the numbers smoothly. Returns true while they are moving.
function follow({ now, table, lens, loss }) {
  const most = Math.max(...table.p);
  const wanted = [1.12 * Math.max(most, Math.min(Math.max(...now.q), 2.5 * most)), 0, 1];
  if (loss === "least_squares") {
    wanted[1] = Math.min(0, Math.max(-0.5, Math.min(...now.d)));
    wanted[2] = Math.max(1, Math.min(1.5, Math.max(...now.d)));
  } else if (loss === "wasserstein") {
    const [lo, hi] = [Math.min(...now.d), Math.max(...now.d)];
    const room = Math.max(0.15 * (hi - lo), 1e-3);
    wanted.splice(1, 2, lo - room, hi + room);
  }
  if (!lens.length) return void lens.push(...wanted);
  let moving = false;
  wanted.forEach((value, i) => {
    lens[i] += 0.2 * (value - lens[i]);
    const unit = i ? wanted[2] - wanted[1] : wanted[0];
    if (Math.abs(value - lens[i]) > 0.003 * unit && !CALM.matches) moving = true;
    else lens[i] = value;
  });
  return moving;
}

// Draws a curve that may have gaps: D* is NaN where both densities are 0.
function curve(g, xs, ys, options) {
  let start = 0;
  for (let i = 0; i <= ys.length; i++) {
    if (i < ys.length && !Number.isNaN(ys[i])) continue;
    if (i - start > 1) path(g, xs.slice(start, i), ys.slice(start, i), options);
    start = i + 1;
  }
}

// Functions from values to pixels, for densities on the left axis and for D on the right axis.
function scales({ plot }, { lens }) {
  const floor = plot.y + plot.h;
  return {
    up: (value) => floor - (value / lens[0]) * plot.h,
    score: (value) => floor - (0.04 + (0.92 * (value - lens[1])) / (lens[2] - lens[1])) * plot.h,
  };
}

function drawPlot(g, boxes, scene) {
  const { plot, ticksY } = boxes;
  const { now, table, layers, k, lens, loss, slow, drawing } = scene;
  const to = across(plot, table);
  const floor = plot.y + plot.h;
  const { up, score } = scales(boxes, scene);
  const xs = Array.from(table.p, (_, i) => to(table.low + ((i + 0.5) / table.p.length) * (table.high - table.low)));
  const { values, digits } = ticks(table.low, table.high, plot.w / (80 * k));
  for (const v of values) {
    path(g, [to(v), to(v)], [plot.y, floor], { colour: "#EDEDED", width: 1 });
    text(g, number(v, digits), to(v), ticksY + 10 * k, { align: "center", size: 13 * k, colour: "#444" });
  }
  path(g, [plot.x, plot.x + plot.w], [floor, floor], { colour: COLOUR.ink, width: 1 });
  if (drawing) return drawSketch(g, plot, drawing, xs, k);
  const left = ticks(0, lens[0], 3);
  for (const v of left.values.slice(1)) {
    text(g, number(v, left.digits), plot.x - 5, up(v), { size: 13 * k, align: "right", colour: "#444" });
  }
  upright(g, "density", 9 * k, floor - 34 * k, { size: 13 * k, colour: "#444" });
  if (loss !== "wasserstein" && (layers.d || layers.d_star)) {
    text(g, "D", plot.x + plot.w + 5, score(0.75), { size: 13 * k, colour: INK.d });
  }
  const right = loss === "wasserstein" ? ticks(lens[1], lens[2], 3) : { values: [0, 0.5, 1], digits: 1 };
  for (const v of layers.d || layers.d_star ? right.values : []) {
    path(g, [plot.x, plot.x + plot.w], [score(v), score(v)], { colour: "#DDE8F2", width: 1 });
    text(g, number(v, right.digits), plot.x + plot.w + 5, score(v), { size: 13 * k, colour: INK.d });
  }
  clipped(g, plot, () => {
    if (layers.data) {
      path(g, xs, table.p.map(up), { colour: "#0000", width: 0, fill: "#0000000D", floor });
      path(g, xs, table.p.map(up), { colour: INK.data, width: 2.6, dash: [2.6, 3.4] });
    }
    if (layers.q) path(g, xs, now.q.map(up), { colour: COLOUR.bound, width: 3, fill: `${COLOUR.bound}26`, floor });
    if (layers.d_star) curve(g, xs, Array.from(now.d_star, score), { colour: INK.d, width: 1.3 });
    if (layers.d) path(g, xs, now.d.map(score), { colour: INK.d, width: 3, dash: [10, 6] });
    if (slow) drawScores(g, scene, to, score, floor);
  });
  const tall = Math.max(...now.q);
  if (layers.q && tall > 1.05 * lens[0]) {
    const x = Math.min(Math.max(xs[now.q.indexOf(tall)], plot.x + 50 * k), plot.x + plot.w - 50 * k);
    haloed(g, `▲ up to ${number(tall, 1)}`, x, plot.y + 24 * k, { size: 13 * k, colour: INK.g, align: "center", bold: true });
  }
}

// Draws, in slow motion, a line from each point up to the score that D gives the point.
function drawScores(g, { now, slow, table }, to, score, floor) {
  const wanted = SLOW[slow.player][slow.phase].scores ?? "";
  const cell = (x) => Math.floor(((x - table.low) / (table.high - table.low)) * CELLS);
  const at = (x) => now.d[Math.min(Math.max(cell(x), 0), CELLS - 1)];
  for (const [letter, points, colour] of [["r", slow.reals, INK.data], ["g", now.x, COLOUR.bound]]) {
    if (!wanted.includes(letter)) continue;
    points.forEach((x) => {
      path(g, [to(x), to(x)], [floor, score(at(x))], { colour: `${colour}55`, width: 1.2 });
      circle(g, to(x), score(at(x)), 3.6, colour, "#fff", 0.8);
    });
  }
}

// Draws the density that the reader is drawing by hand: heights (256,) from 0 to 1.
function drawSketch(g, plot, heights, xs, k) {
  const floor = plot.y + plot.h;
  const ys = Array.from(heights, (h) => floor - 0.92 * h * plot.h);
  path(g, xs, ys, { colour: INK.data, width: 3, fill: "#0000001A", floor });
  text(g, "draw here, from left to right", plot.x + plot.w / 2, plot.y + 14 * k, { size: 15 * k, align: "center", colour: "#444" });
}

// Draws the generated points on the line of x, with their pushes, and below them the z from which they come.
function drawMapping(g, boxes, scene) {
  const { line, map } = boxes;
  const { now, table, layers, k, zs, slow } = scene;
  const [to, from] = [across(line, table), acrossZ(map, zs)];
  const [middle, bottom] = [line.y + line.h - 9, map.y + map.h];
  const shown = slow ? SLOW[slow.player][slow.phase].shows : "zmgp";
  text(g, "x", line.x - 10 * k, middle, { align: "right", bold: true, size: 15 * k });
  text(g, "z", map.x - 10 * k, bottom, { align: "right", bold: true, size: 15 * k });
  path(g, [line.x, line.x + line.w], [middle, middle], { colour: COLOUR.ink, width: 1 });
  path(g, [map.x, map.x + map.w], [bottom, bottom], { colour: COLOUR.ink, width: 1 });
  for (const v of ticks(zs[0], zs[1], 4).values) {
    path(g, [from(v), from(v)], [bottom, bottom + 4], { colour: COLOUR.ink, width: 1 });
    text(g, number(v, ticks(zs[0], zs[1], 4).digits), from(v), bottom + 13 * k, { align: "center", size: 13 * k, colour: "#444" });
  }
  clipped(g, { x: line.x - 4, y: line.y - 2, w: line.w + 8, h: bottom - line.y + 6 }, () => {
    if (layers.map) {
      now.z.forEach((z, i) => {
        if (shown.includes("m")) arrow(g, from(z), bottom, to(now.x[i]), middle + 7, "#5A5A5A99", 1, 6);
        if (shown.includes("z")) circle(g, from(z), bottom, 2.6, COLOUR.ink, "#fff", 0);
      });
    }
    if (shown.includes("r")) slow.reals.forEach((x) => circle(g, to(x), middle - 8, 3.2, INK.data, "#fff", 0.6));
    if (layers.push && shown.includes("p")) {
      now.x.forEach((x, i) => {
        const length = reach(Math.abs(now.push_x[i])) * Math.sign(now.push_x[i]);
        if (Math.abs(length) < 1.5) return;
        const y = middle - 17 + (i % 3) * 6;     // three rows, so that neighbouring arrows do not overlap
        path(g, [to(x), to(x)], [y, middle], { colour: `${COLOUR.gap}66`, width: 1 });
        arrow(g, to(x), y, to(x) + length, y, COLOUR.gap, 1.6, Math.min(6, 2.5 + 0.25 * Math.abs(length)));
      });
    }
    if (shown.includes("g")) now.x.forEach((x) => circle(g, to(x), middle, 3.8, COLOUR.bound, "#fff", 0.8));
  });
  // The number of points outside the picture, on either side.
  const out = [now.x.filter((x) => x < table.low).length, now.x.filter((x) => x > table.high).length];
  if (out[0]) text(g, `◀ ${out[0]}`, line.x + 2, line.y - 1, { size: 13 * k, colour: INK.g, bold: true });
  if (out[1]) text(g, `${out[1]} ▶`, line.x + line.w - 2, line.y - 1, { size: 13 * k, colour: INK.g, bold: true, align: "right" });
}

// Draws one panel over time. lines: [key, colour, width, dash]. levels: [value, label] of dashed horizontal lines with
// the label below. title: [words, colour], as many as fit.
function drawChart(g, box, scene, { title, lines, levels = [], range, ghosts = [] }) {
  const { past, at, k, last } = scene;
  const seen = past.flatMap((p) => lines.map(([key]) => p[key])).filter(Number.isFinite);
  const [lo, hi] = range ?? limits(seen, levels.map(([v]) => v));
  const scale = axis(g, box, lo, hi, box.h > 100 * k ? 3 : 2, 13 * k);
  const to = (step) => box.x + (step / last) * box.w;
  const bounded = (v) => scale(Math.min(Math.max(v, lo), hi));
  const x = to(past[at].step);
  clipped(g, { ...box, y: box.y - 2, h: box.h + 4 }, () => {
    const line = (points, key, options) => path(g, points.map((p) => to(p.step)), points.map((p) => bounded(p[key])), options);
    for (const [value] of levels) {
      path(g, [box.x, box.x + box.w], [scale(value), scale(value)], { colour: COLOUR.ink, width: 1.2, dash: [5, 4] });
    }
    for (const run of ghosts) line(run, "jsd", { colour: "#B5B5B5", width: 1.6 });
    for (const [key, colour, width, dash] of lines) {
      const kept = past.filter((p) => !Number.isNaN(p[key]));
      if (kept.length) line(kept, key, { colour, width, dash });
    }
  });
  path(g, [x, x], [box.y, box.y + box.h], { colour: COLOUR.ink, width: 1 });
  for (const [key, colour] of lines) {
    if (!Number.isNaN(past[at][key])) circle(g, x, bounded(past[at][key]), 4, colour, "#fff", 1.2);
  }
  ghosts.forEach((run, i) => {
    const end = run[run.length - 1];
    if (Number.isFinite(end.jsd)) {
      haloed(g, String(i + 1), Math.min(to(end.step), box.x + box.w) - 3, bounded(end.jsd) - 8 * k,
        { size: 12 * k, align: "right", colour: "#6E6E6E" });
    }
  });
  // Values outside the range are written as numbers, because a clipped peak would look like a plateau.
  for (const [key, colour] of lines) {
    const kept = past.filter((p) => Number.isFinite(p[key]));
    for (const [mark, pick, beyond, y] of [["▲", Math.max, (v) => v > hi, box.y + 8 * k], ["▼", Math.min, (v) => v < lo, box.y + box.h - 8 * k]]) {
      const far = kept.reduce((most, p) => (most && pick(p[key], most[key]) === most[key] ? most : p), null);
      if (far && beyond(far[key])) {
        const at = Math.min(Math.max(to(far.step), box.x + 26 * k), box.x + box.w - 26 * k);
        haloed(g, `${mark} ${brief(far[key], 1)}`, at, y, { size: 12 * k, align: "center", colour });
      }
    }
  }
  for (const [value, label] of levels) haloed(g, label, box.x + box.w, scale(value) + 9 * k, { size: 13 * k, align: "right" });
  heading(g, box, k, title);
  text(g, "0", box.x, box.y + box.h + 11 * k, { size: 13 * k, align: "center", colour: "#444" });
  text(g, `round ${last.toLocaleString("en")}`, box.x + box.w, box.y + box.h + 11 * k, { size: 13 * k, align: "right", colour: "#444" });
}

// Writes [words, colour] side by side above a panel, as many as fit.
function heading(g, box, k, title) {
  let from = box.x;
  for (const [words, colour] of title) {
    g.font = `600 ${14 * k}px ${FONT}`;
    const width = g.measureText(words).width;
    if (from + width > box.x + box.w + 14) break;
    text(g, words, from, box.y - 13 * k, { size: 14 * k, bold: true, colour });
    from += width + 6 * k;
  }
}

// Draws text that reads upwards, centred at a point.
function upright(g, words, x, y, options) {
  g.save();
  g.translate(x, y);
  g.rotate(-Math.PI / 2);
  text(g, words, 0, 0, { ...options, align: "center" });
  g.restore();
}

// Draws text with a white outline, so that it is legible on top of lines.
function haloed(g, words, x, y, options) {
  g.font = `${options.bold ? 600 : 400} ${options.size}px ${FONT}`;
  Object.assign(g, { textAlign: options.align, textBaseline: "middle", strokeStyle: "#fff", lineWidth: 5 });
  g.strokeText(words, x, y);
  text(g, words, x, y, options);
}

// Limits that contain the values except for the most extreme 2 % at each end, so that a spike does not flatten the
// rest.
function limits(values, levels) {
  const sorted = [...values].sort((a, b) => a - b);
  const cut = Math.floor(sorted.length / 50);
  const ends = [sorted[cut], sorted[sorted.length - 1 - cut], ...levels].filter(Number.isFinite);
  const [lo, hi] = ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
  const room = Math.max(0.1 * (hi - lo), 0.03);
  return [lo - (levels.length ? 2.6 : 1) * room, hi + room];
}

function brief(value, digits = 3) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "–";
  return number(value, Math.abs(value) >= 100 ? 0 : digits);
}

// Draws the three panels below the picture.
function drawCharts(g, boxes, scene) {
  const { past, at, loss, kls, ghosts, settings } = scene;
  const now = past[at];
  const dirac = settings.players === "dirac";   // its two points share a cell or not, so D* is not informative
  drawChart(g, boxes.charts[0], scene, { lines: [["loss_d", INK.d, 2], ["loss_g", COLOUR.bound, 2]],
    title: [[`loss D ${brief(now.loss_d, 2)}`, INK.d], [`G ${brief(now.loss_g, 2)}`, INK.g]] });
  const floor = LOSSES[loss].floor;
  const name = { wasserstein: "0", least_squares: "−¼" }[loss] ?? "−log 4";
  const [best, lowest] = loss === "wasserstein" ? [" W1:", "floor"] : [" of D*:", "floor of D*"];
  if (boxes.charts[1]) drawChart(g, boxes.charts[1], scene, { levels: [[floor, `${lowest}: ${name}`]],
    lines: [...(dirac ? [] : [["best_value", INK.d, 1.2]]), ["value", INK.d, 2.4, [7, 4]]],
    title: [[`value V(D, G) ${brief(now.value)}`, INK.d], ...(dirac ? [] : [[`${best} ${brief(now.best_value)}`, INK.d]])] });
  if (dirac) return drawPhase(g, boxes.charts[2], scene);
  const more = kls ? [["kl_pq", "#A0578A", 1.8], ["kl_qp", COLOUR.qText, 1.8]] : [];
  const names = kls ? [[`KL(p‖q) ${brief(now.kl_pq, 2)}`, "#A0578A"], [`KL(q‖p) ${brief(now.kl_qp, 2)}`, COLOUR.qText]] : [[brief(now.jsd), INK.push]];
  drawChart(g, boxes.charts[2], scene, { levels: [[CEILING, "log 2"]], range: kls ? null : [0, 0.72], ghosts,
    lines: [...more, ["jsd", COLOUR.gap, 2.4]], title: [[kls ? "JSD" : "true JSD(p, q)", INK.push], ...names] });
}

// Draws the path of the Dirac-GAN's two weights, and the directions of the gradients.
function drawPhase(g, box, { past, at, loss, k, settings }) {
  const sizes = past.map((p) => Math.max(Math.abs(p.theta), Math.abs(p.psi))).filter(Number.isFinite);
  const far = 1.15 * Math.max(1.2, ...sizes);
  const unit = Math.min(box.w / 2, box.h / 2) / far;
  const [cx, cy] = [box.x + box.w / 2, box.y + box.h / 2];
  const to = (theta, psi) => [cx + theta * unit, cy - psi * unit];
  path(g, [box.x, box.x + box.w], [cy, cy], { colour: COLOUR.faint, width: 1 });
  path(g, [cx, cx], [box.y, box.y + box.h], { colour: COLOUR.faint, width: 1 });
  const { gSlope, fakeSlope } = LOSSES[loss];
  clipped(g, box, () => {
    const gap = far / 3.5;
    const columns = Math.floor(box.w / 2 / unit / gap);
    for (let i = -columns; i <= columns; i++) {
      for (let j = -3; j <= 3; j++) {
        const [theta, psi] = [i * gap, j * gap];
        const [u, v] = [-gSlope(theta * psi) * psi, -fakeSlope(theta * psi) * theta - settings.r1 * psi];
        const size = Math.hypot(u, v);
        if (size < 1e-6) continue;
        const [x, y] = to(theta, psi);
        const length = Math.min(0.75 * gap * unit, 30 * size);
        arrow(g, x, y, x + (u / size) * length, y - (v / size) * length, "#A9A9A9", 1, 4);
      }
    }
    const seen = past.slice(Math.max(0, at - 400), at + 1).filter((p) => Number.isFinite(p.theta));
    const spots = seen.map((p) => to(p.theta, p.psi));
    path(g, spots.map((p) => p[0]), spots.map((p) => p[1]), { colour: COLOUR.gap, width: 2 });
    circle(g, ...to(past[at].theta, past[at].psi), 5, COLOUR.gap, "#fff", 1.5);
    circle(g, cx, cy, 3, COLOUR.ink, "#fff", 1);
  });
  heading(g, box, k, [[`θ ${brief(past[at].theta, 2)}`, INK.g], [`ψ ${brief(past[at].psi, 2)}`, INK.d]]);
  text(g, "θ →", box.x + box.w - 2, cy + 11 * k, { size: 13 * k, align: "right", colour: INK.g });
  text(g, "ψ ↑", cx + 6, box.y + 8 * k, { size: 13 * k, colour: INK.d });
}
