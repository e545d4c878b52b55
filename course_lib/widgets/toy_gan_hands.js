// Mouse, touch and keyboard input for ToyGAN. `game` is the object `hands` in `build`.

// Dragging on the curves rewinds the game. Dragging on the plot draws the data while the pen is on.
function pointer(game, boxes) {
  let before = null;
  const inside = ({ x, y, w, h }, px, py) => px >= x && px <= x + w && py >= y - 4 && py <= y + h + 4;
  const chart = (px, py) => boxes().charts.slice(0, game.dirac() ? 2 : 3).find((box) => box && inside(box, px, py));
  const onPlot = (px, py) => game.drawing() && inside(boxes().plot, px, py);
  const rewind = (box, px) => game.goToStep(((px - box.x) / box.w) * game.last());

  function sketch(px, py) {
    const { plot } = boxes();
    const heights = game.drawing();
    const cell = Math.min(Math.max(Math.floor(((px - plot.x) / plot.w) * CELLS), 0), CELLS - 1);
    const height = Math.min(Math.max((plot.y + plot.h - py) / plot.h / 0.92, 0), 1);
    const [from, was] = before ?? [cell, height];
    for (let i = Math.min(from, cell); i <= Math.max(from, cell); i++) {
      heights[i] = from === cell ? height : was + ((height - was) * (i - from)) / (cell - from);
    }
    before = [cell, height];
    game.redraw();
  }

  return {
    start(px, py) {
      before = null;
      if (onPlot(px, py)) {
        sketch(px, py);
        return "pen";
      }
      const box = chart(px, py);
      if (box) rewind(box, px);
      return box ?? null;
    },
    move: (caught, px, py) => (caught === "pen" ? sketch(px, py) : rewind(caught, px)),
    end: (caught) => caught === "pen" && game.drawn(),
    hover: (px, py) => (onPlot(px, py) ? "crosshair" : chart(px, py) ? "ew-resize" : "default"),
  };
}

// The heights of a density on the 256 cells from −8 to 8 on which the reader draws.
function heightsOf({ low, high, p }) {
  const most = Math.max(...p);
  return Float64Array.from({ length: CELLS }, (_, i) => {
    const x = ((i + 0.5) / CELLS) * 16 - 8;
    return (0.8 * (p[Math.floor(((x - low) / (high - low)) * CELLS)] ?? 0)) / most;
  });
}

// keys: a function from a key to its action. Keys that a control needs are left to the control.
function keyboard(keys) {
  return (event) => {
    const { target, key } = event;
    const own = { checkbox: key === " ", range: /^(Arrow|Home|End|Page)/.test(key) };
    const types = target.tagName === "INPUT" && (own[target.type] ?? true);
    if (event.ctrlKey || event.metaKey || event.altKey || types || ["SELECT", "SUMMARY"].includes(target.tagName)) return;
    if (key === " " && target.tagName === "BUTTON") return;
    const act = keys(key);
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();            // otherwise the notebook would take the key as its own command
  };
}
