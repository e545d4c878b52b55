// The front end of LatentExplorer. A request to the kernel takes about 80 ms in a notebook, even with a fast decoder,
// and this must not delay dragging. Each request therefore contains the latest z and the nearest missing points of a
// fine lattice. The nearest decoded point is drawn immediately, and z itself as soon as its image arrives. A frame is
// [milliseconds in the kernel, m·H·W bytes as floats, or 3·m·H·W for colour]. The sprite, a grid of side × side cells
// of m images, is used where nothing else is available: the four cells around z are blended, so that dragging is smooth
// even without a kernel.

const TILE = 11;                // lattice points along a side of a tile; a tile is requested as a whole
const PAUSE = 200;              // milliseconds; each request makes the whole interface update

function build(core) {
  const model = core.model;
  const kernel = new Kernel(core, () => refresh());
  const [limits, size, names, points, labels, colours, channels, [side, m, H, W]] =
    ["limits", "size", "names", "points", "labels", "colours", "channels", "shape"].map((name) => model.get(name));
  const bytes = m * H * W * channels;
  const tilesAcross = Math.max(3, Math.min(11, Math.floor(Math.sqrt(24e6 / bytes) / TILE)));        // 24 MB in all
  const atOnce = Math.max(1, Math.floor(4e5 / (TILE * TILE * bytes)));                              // 0.4 MB per request
  const spacing = (2 * limits) / (TILE * tilesAcross - 1);
  let tiles = new Map();        // "column,row" -> the tile's frames
  let z = [...model.get("z")];
  let shown = null;             // what the picture shows: {z, from: "kernel", "near" or "grid"}
  let [exact, moved] = [null, null];    // the z of the last reply; when z was moved, until it is drawn
  let [asking, warm, asked, decoding] = [false, false, 0, 0];

  const picture = element("canvas", { width: m * W, height: H });
  const pen = picture.getContext("2d");
  const sprite = element("img", { onload: () => shown?.from === "kernel" || look(), src: model.get("sprite") });

  function put(frame, from, at) {
    for (let k = 0; k < m; k++) {
      const image = pen.createImageData(W, H);
      const part = new Uint8Array(frame.buffer, frame.byteOffset + 4 + k * W * H * channels, W * H * channels);
      for (let i = 0; i < W * H; i++) {
        for (let c = 0; c < 3; c++) image.data[4 * i + c] = part[channels * i + (c % channels)];
        image.data[4 * i + 3] = 255;          // opaque
      }
      pen.putImageData(image, k * W, 0);
    }
    shown = { from, z: at };
    core.redraw();
  }

  // Draws the best image available for z: a point of the lattice, or a blend of the sprite's cells around z.
  function look() {
    const [i, j] = z.map((v) => Math.round((v + limits) / spacing));
    const tile = tiles.get(`${Math.floor(i / TILE)},${Math.floor(j / TILE)}`);
    if (tile) return put(tile[(j % TILE) * TILE + (i % TILE)], "near", [i, j].map((n) => n * spacing - limits));
    if (!sprite.naturalWidth) return;
    blend(...[z[0], -z[1]].map((v) => ((v + limits) / (2 * limits)) * (side - 1)));
    shown = { from: "grid", z };
    core.redraw();
  }

  // Blends the four cells around a point of the sprite's grid with bilinear weights. Drawing an image over the others
  // with opacity w / (w + the sum of their weights) gives it the weight w.
  function blend(column, row) {
    const [left, top] = [column, row].map((v) => Math.min(Math.floor(v), side - 2));
    let drawn = 0;
    for (const [i, j] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      const weight = (1 - Math.abs(left + i - column)) * (1 - Math.abs(top + j - row));
      if (weight < 1e-3) continue;            // less than half a grey level
      drawn += weight;
      pen.globalAlpha = weight / drawn;
      pen.drawImage(sprite, (left + i) * m * W, (top + j) * H, m * W, H, 0, 0, m * W, H);
    }
    pen.globalAlpha = 1;
  }

  // The nearest tiles that are still missing.
  function missing() {
    const far = ([a, b]) => Math.hypot(...[a, b].map((n, d) => (n + 0.5) * TILE * spacing - limits - z[d]));
    return Array.from({ length: tilesAcross ** 2 }, (_, n) => [n % tilesAcross, Math.floor(n / tilesAcross)])
      .filter((tile) => !tiles.has(tile.join())).sort((a, b) => far(a) - far(b)).slice(0, atOnce);
  }
  const lattice = ([a, b]) => Array.from({ length: TILE * TILE }, (_, n) =>
    [a * TILE + (n % TILE), b * TILE + Math.floor(n / TILE)].map((v) => v * spacing - limits));

  // At most one request is pending, and the next one is for the latest z, so that a slow decoder is not flooded.
  async function follow() {
    if (asking || !core.live) return;
    asking = true;
    try {
      while (core.awake()) {
        const [at, wanted, into] = [z, warm ? missing() : [], tiles];
        if (exact === at && !wanted.length) break;
        const rest = new Promise((done) => { setTimeout(done, PAUSE); });
        asked += 1;
        const [frame, ...more] = await kernel.ask({ z: [at, ...wanted.flatMap(lattice)] });
        wanted.forEach((tile, n) => into.set(tile.join(), more.slice(n * TILE * TILE, (n + 1) * TILE * TILE)));
        if (core.message.wrong) core.say(HINT);
        [decoding, exact] = [frame[0], into === tiles ? at : null];    // null if refreshed in the meantime
        if (at === z) put(frame, "kernel", at);
        else look();
        await rest;
      }
    } catch (error) {
      core.say(error.message, true);
    }
    asking = false;
  }

  function go(to) {
    z = to.map((v) => Math.min(Math.max(v, -limits), limits));
    moved ??= performance.now();
    look();
    follow();
  }

  const share = () => core.share({ z });
  core.heed("z", () => go(model.get("z")));
  function refresh() {
    [tiles, exact] = [new Map(), null];
    sprite.src = model.get("sprite");
    follow();
  }
  const HINT = "Drag in the plane, or click it and use the arrow keys (hold Shift for longer steps).";
  core.say(HINT);

  // -- drawing

  const layout = (width) => ({ x: 44, y: 10, w: Math.min(width - 48, size) });
  const to = ({ x, y, w }, [a, b]) => [x + ((a + limits) / (2 * limits)) * w, y + ((limits - b) / (2 * limits)) * w];

  function numeral(g, digit, x, y, radius) {
    const [red, green, blue] = [1, 3, 5].map((i) => parseInt(colours[digit].slice(i, i + 2), 16));
    circle(g, x, y, radius, colours[digit], "#fff", 0.8);
    text(g, String(digit), x, y + 0.5, { align: "center", size: 1.7 * radius, bold: true,
      colour: 0.3 * red + 0.6 * green + 0.1 * blue > 120 ? "#000" : "#fff" });
  }

  // The points do not move, so they are drawn only once for each size of the canvas.
  function scatter(canvas, box) {
    const layer = element("canvas", { width: canvas.width, height: canvas.height });
    const g = layer.getContext("2d");
    g.setTransform(canvas.getContext("2d").getTransform());
    g.rect(box.x, box.y, box.w, box.w);
    g.clip();
    const radius = Math.max(4.5, Math.min(7, 130 / Math.sqrt(points.length)));
    points.forEach((p, i) => (labels.length ? numeral(g, labels[i], ...to(box, p), radius)
      : circle(g, ...to(box, p), 3, "#00000066", "#fff", 0.5)));
    return layer;
  }

  function drawPlane(g, box, layer, width, height) {
    const { x, y, w } = box;
    const { values, digits } = ticks(-limits, limits, 6);
    const lines = (at, options) => {
      const [px, py] = to(box, at);
      path(g, [px, px], [y, y + w], options);
      path(g, [x, x + w], [py, py], options);
      return [px, py];
    };
    for (const v of values) {
      const [px, py] = lines([v, v], { colour: COLOUR.faint, width: 1 });
      text(g, number(v, digits), px, y + w + 12, { align: "center", size: 13 });
      text(g, number(v, digits), x - 6, py, { align: "right", size: 13 });
    }
    g.drawImage(layer, 0, 0, width, height);
    text(g, names[0], x + w - 6, y + w - 12, { align: "right", bold: true });
    text(g, names[1], x + 6, y + 12, { bold: true });
    if (labels.length) text(g, "digit", x, y + w + 42);
    [...new Set(labels)].sort().forEach((d, i) => numeral(g, d, x + 52 + i * Math.min(30, (w - 60) / 10), y + w + 42, 9));
    const spot = lines(z, { colour: COLOUR.ink, width: 1, dash: [4, 4] });
    for (const [colour, width] of [["#fff", 6], [COLOUR.ink, 3]]) circle(g, ...spot, 11, "transparent", colour, width);
  }

  // Arranges the images in rows of equal length, as large as possible.
  function arrange(width, room) {
    const fits = (columns) => Math.min(width / columns / W, room / (m / columns) / H);
    const columns = Array.from({ length: m }, (_, i) => i + 1).filter((n) => m % n === 0)
      .reduce((best, n) => (fits(n) > fits(best) ? n : best));
    return { columns, w: W * fits(columns), h: H * fits(columns), height: 10 + ((H * m) / columns) * fits(columns) };
  }

  function drawPictures({ g, width }, room) {
    const { columns, w, h } = arrange(width, room);
    g.imageSmoothingEnabled = false;
    for (let k = 0; k < m; k++) {
      g.drawImage(picture, k * W, 0, W, H, (k % columns) * w, 10 + Math.floor(k / columns) * h, w - 3, h - 3);
    }
  }

  function view({ root }) {
    // A finger moves z in the plane, and scrolls the page everywhere else.
    const plane = element("canvas", { tabIndex: 0, role: "application", style: "touch-action: none" });
    const image = element("canvas", { role: "img" });
    const [sum, source] = ["sum", "parts"].map((className) => element("p", { className }));
    // The plane and the images are side by side if the widget is at least 640 pixels wide.
    const halves = [[plane, `${size + 48}px`], [image, "none"]].map(([canvas, most]) =>
      element("div", { style: `flex: 1 1 290px; min-width: 0; max-width: ${most}` }, canvas));
    const reset = button("Reset", `Reset: back to ${names.join(" = ")} = 0`, () => { go([0, 0]); share(); });
    root.append(element("div", { className: "row" }, reset, sum), element("div", { className: "row", style: "align-items: flex-start" }, ...halves), source);

    let [box, layer] = [layout(size), null];
    const back = (x, y) => [(2 * (x - box.x)) / box.w - 1, 1 - (2 * (y - box.y)) / box.w].map((v) => v * limits);
    const inside = (x, y) => x > box.x && x < box.x + box.w && y > box.y && y < box.y + box.w;
    draggable(plane, {
      start: (x, y) => (inside(x, y) ? (go(back(x, y)), true) : null),
      move: (_, x, y) => go(back(x, y)),
      end: share,
      hover: (x, y) => (inside(x, y) ? "crosshair" : "default"),
    });
    // When the pointer enters the plane, it is about to move. The lattice is fetched only from then on, and not for
    // readers who scroll past.
    plane.onpointerenter = plane.onfocus = () => { warm = true; follow(); };
    plane.onkeydown = (event) => {
      const by = (limits / 50) * (event.shiftKey ? 5 : 1);
      const move = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] }[event.key];
      if (!move) return;
      go(z.map((v, d) => v + move[d]));
      share();
      event.preventDefault();
      event.stopPropagation();        // otherwise the notebook would move to another cell
    };

    return function paint() {
      const { g, width, height } = prepare(plane, (w) => (box = layout(w)).w + 36 + (labels.length ? 28 : 0));
      if (layer?.width !== plane.width) layer = scatter(plane, box);
      drawPlane(g, box, layer, width, height);
      if (shown) drawPictures(prepare(image, (w) => arrange(w, box.w).height), box.w);
      const place = (at) => at.map((v, d) => `${names[d]} = ${number(v, 2)}`).join(", ");
      const stand = core.live ? "Waiting for the kernel. Until then, this" : "Without a kernel, this";
      sum.textContent = place(z);
      source.textContent = { kernel: "Decoded by the kernel for exactly this z.",
        near: `Decoded by the kernel for a z at most ${number(spacing / 2, 2)} away along each axis.` }[shown?.from] ??
        `${stand} is a blend of the nearest of ${side} × ${side} images that were decoded in advance, ` +
        `${number((2 * limits) / (side - 1), 2)} apart.`;
      plane.ariaLabel = `Latent plane with ${points.length} points, at ${place(z)}. ${source.textContent} The arrow keys move z.`;
      image.ariaLabel = `${m > 1 ? `${m} images` : "Image"} decoded from ${place(shown?.z ?? z)}`;
      Object.assign(root.dataset, { z: JSON.stringify(z), from: shown?.from ?? "", box: JSON.stringify(box), asked,
        decoding, tiles: tiles.size, columns: arrange(image.clientWidth, box.w).columns });
      if (moved) [root.dataset.lag, moved] = [performance.now() - moved, null];
      follow();
    };
  }

  return { view };
}

const definition = widget(build);
export default definition;
