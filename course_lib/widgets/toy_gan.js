// The front end of ToyGAN: controls, the time line, slow motion. The picture is in toy_gan_picture.js; the game itself is
// played by toy_gan_engine.js in a worker, which keeps nothing: the past is here.

const FRAMES = 6;         // asked for at once
const MOST = 600;         // moments on the time line,
const BYTES = 30e6;       // and of all of them together; those of large networks are fewer
const RECENT = 64;        // the newest moments, of which none is dropped

const fresh = (entry) => entry.d_updates + entry.g_updates === 0;
const same = (a, b) => Object.keys(a).every((name) => alike(a[name] ?? null, b[name] ?? null));
const finite = (value) => (Number.isFinite(value) ? value : null);      // JSON knows no others

// Every second one of the older moments goes, so that the whole game stays on a line of bounded length.
function thin(list) {
  const most = Math.min(MOST, BYTES / (8 * list[0].state.length + 4 * SIZE));
  const recent = list.length - Math.min(RECENT, most / 4);
  return list.length <= most ? list : list.filter((_, i) => i % 2 === 0 || i >= recent);
}

// The moments of an answer: what is read from a frame, and the state and the settings to go on from it.
function entries({ frames, states, count }, settings) {
  const size = states.length / count;
  return Array.from({ length: count }, (_, i) => ({
    ...read(frames.slice(i * SIZE, (i + 1) * SIZE)), state: states.slice(i * size, (i + 1) * size), settings }));
}

function build(core) {
  const model = core.model;
  const [presets, tables] = [model.get("presets"), model.get("tables")];
  const engine = new Background([toyGanPlayers, toyGanEngine], start, tables);
  core.closing.push(() => engine.close());
  let settings = { ...model.get("settings") };
  let table = tableOf(settings, tables);
  let past = entries(start(tables)({ from: null, settings, what: "look" }), settings);
  let at = 0;                         // the place on the time line
  let shown = past[0];                // what is drawn: an entry, or something on the way to it
  let chain = Promise.resolve();      // one question after another
  let speed = "1";
  let slow = null;                    // { player, phase, rest, round, alone }
  let [moving, lens, runs, version, asked] = [null, [], [], 0, false];
  let touched = false;                // has the reader done anything yet?
  const known = () => presets.find((p) => same(p.settings, settings)) ?? null;
  let [large, kls, drawing, preset] = [false, false, null, known()];
  let theory = !model.get("plain");    // a page for visitors begins without D* and V
  const layers = Object.fromEntries(LAYERS.map(([name]) => [name, theory || name !== "d_star"]));

  // -- the game

  // What follows a moment under the present settings; another game begins with its own first moment.
  async function moments(what, { last = past[at], frames = 1, steps = 1 } = {}) {
    const under = settings;
    const from = last && !restarts(last.settings, under) ? last.state : null;
    return entries(await engine.ask({ from, settings: under, what, frames, steps }), under);
  }

  // Asks for something outside of playing; `use` gets the moments.
  function ask(what, use, options) {
    stop();
    chain = chain.then(async () => {
      try {
        use(await moments(what, options));
      } catch (error) {
        fail(error);
      }
    });
    return chain;
  }

  function fail(error) {
    player.pause();
    share();
    core.redraw();
    core.say(error.message, true);
  }

  // While the game is played some moments are computed ahead; a change of settings or a rewind makes them worthless.
  let [queue, fetching, epoch, steps] = [[], false, 0, 1];

  const player = new Player(core, { rate: 30, tick() {
    if (!fetching && queue.length < FRAMES) fetchAhead();
    const entry = queue.shift();
    if (!entry) return false;
    take(entry);
    clock();
    return true;
  } });

  async function fetchAhead() {
    fetching = true;
    const mine = epoch;
    try {
      // Where there is no worker, the page itself waits.
      const frames = engine.here ? 1 : FRAMES;
      const more = await moments("play", { last: queue[queue.length - 1] ?? past[at], frames, steps });
      if (mine === epoch) queue.push(...more);
    } catch (error) {
      if (mine === epoch) fail(error);
    }
    fetching = false;
  }

  function forgetAhead() {
    queue = [];
    epoch += 1;
  }

  // How many rounds a second are shown: measured over a second, so that the number can be read.
  let [reached, since, began] = [null, null, 0];
  function clock() {
    const now = performance.now();
    if (since !== null && now - since < 1000) return;
    reached = since === null ? null : (1000 * (past[at].step - began)) / (now - since);
    [since, began] = [now, past[at].step];
    share();
  }
  const behind = () => player.playing && reached !== null && reached < 0.8 * player.rate * steps;

  // Tells Python the settings and the numbers of the moment that is shown.
  function share() {
    const { step, ...numbers } = Object.fromEntries(HEAD.map((name) => [name, finite(past[at][name])]));
    core.share({ settings, state: { rounds: step, ...numbers } });
  }

  // The rounds of the game before are not the new one's.
  function begin(list) {
    [past, at] = [list, list.length - 1];
    [reached, since] = [null, null];
  }

  function take(entry, seconds = 0) {
    if (fresh(entry)) begin([entry]);
    else {
      past = thin([...past.slice(0, at + 1), entry]);
      at = past.length - 1;
    }
    glide(entry, seconds);
  }

  // Moves what is drawn to an entry.
  function glide(entry, seconds = 0) {
    const from = shown;
    moving = null;
    shown = entry;
    if (seconds && !CALM.matches && from.x.length === entry.x.length) {
      let part = 0;
      const mine = (moving = (passed) => {
        if (moving !== mine) return false;
        part = Math.min(1, part + passed / seconds);
        shown = part === 1 ? entry : between(from, entry, part * part * (3 - 2 * part));
        core.redraw();
        if (part === 1) moving = null;
        return part < 1;
      });
      core.run(mine);
    }
    if (!player.playing) share();
    core.redraw();
  }

  function stop() {
    player.pause();
    forgetAhead();
    [reached, since] = [null, null];
  }

  // Slow motion is over: what it said last is announced.
  function leaveSlow() {
    if (!slow) return;
    slow = null;
    core.plays(false);
  }

  const sentence = () => {
    const now = past[at];
    const told = Number.isFinite(now.accuracy) && settings.loss !== "wasserstein";
    const right = told ? ` D is right on ${number(100 * now.accuracy, 0)} % of the points.` : "";
    return `Round ${now.step}. JSD ${brief(now.jsd)} nats from the data.${right}`;
  };

  function pause() {
    stop();
    if (slow) slow.running = false;
    core.plays(false);
    core.redraw();                      // slow motion draws only when something moves
    core.say(`Paused. ${sentence()}`);
    share();
  }

  async function toggle() {
    if (player.playing || slow?.running) return pause();
    if (drawing) draw(false);
    if (speed === "slow") return slowly();
    core.say("Playing. Space pauses.");
    await chain;
    player.play();
  }

  const one = (what, said = "") => ask(what, (list) => {
    list.forEach((entry) => take(entry, 0.35));
    core.say(said + sentence());
  });
  const half = (which) => (speed === "slow" ? slowly(which) : one(which, `One step of ${which.toUpperCase()}. `));
  const whole = () => (slow ? slowNext() : one("play"));
  const anew = (said) => ask("look", (list) => {
    begin(list);
    lens.length = 0;
    leaveSlow();
    glide(past[at]);
    core.say(said);
  }, { last: null });
  const reset = () => anew("Back at the start: the same game again, unless a setting changes.");

  function go(place) {
    stop();
    leaveSlow();
    at = Math.min(Math.max(Math.round(place), 0), past.length - 1);
    glide(past[at]);
    core.say(`${at < past.length - 1 ? "Rewound: play goes on from here. " : ""}${sentence()}`);
  }

  // The panel and the line of x for these settings.
  function adopt(values) {
    const before = table;
    settings = values;
    preset = known();
    version += 1;
    touched = true;
    table = tableOf(settings, tables);
    if (!alike([...before.p], [...table.p])) lens.length = 0;
  }

  // New settings, from the page or from Python: at once, and without a pause while the game is played.
  function set(values) {
    adopt({ ...settings, ...values });
    core.share({ settings });
    core.redraw();
    if (player.playing) return forgetAhead();
    if (asked) return;
    asked = true;                     // a dragged slider asks once, when the last question is answered
    chain.then(() => {
      asked = false;
      ask("look", ([entry]) => {
        if (!fresh(entry)) past[at] = entry;
        else {
          begin([entry]);
          core.say(`A new game, as this setting asks for. ${sentence()}`);
        }
        glide(entry);
      });
    });
  }

  function load(chosen) {
    adopt({ ...chosen.settings });
    drawing = null;
    if (chosen.steps && speed !== "slow") pace(String(chosen.steps));
    anew(`Ready: ${chosen.name}. Space plays.`);
  }

  // `speed` counts in 30 rounds a second; sixty frames a second at most hold as many rounds as it takes.
  function pace(value) {
    speed = value;
    version += 1;
    if (slow && value !== "slow") {
      leaveSlow();
      core.say(sentence());
    }
    const rounds = value === "1/6" ? 5 : 30 * (Number(value) || 1);
    steps = Math.ceil(rounds / 60);
    player.rate = rounds / steps;
    forgetAhead();
    [reached, since] = [null, null];
    if (player.playing && value === "slow") { stop(); slowly(); }
    core.redraw();
  }

  core.heed("settings", () => set(core.get("settings")));
  model.on("msg:custom", ({ load: name }) => {
    const chosen = presets.find((p) => p.name === name);
    if (chosen) load(chosen);
  });

  // -- slow motion

  function slowly(alone = null) {
    stop();
    if (!slow || alone) slow = { player: alone ?? "d", phase: 0, round: 0, alone, reals: [] };
    Object.assign(slow, { running: true, rest: PHASE });
    core.plays(true);
    enter();
    core.run(slowJob);
  }

  function enter() {
    slow.rest = PHASE;
    slow.reals = new Game(settings, tables).draw(new Float64Array(POINTS), past[at].d_updates);
    slow.narrow = settings.players === "network" && past[at].std < 0.15;     // a hundredth of the picture
    core.say(`${NAMES[slow.player]}, ${slow.phase + 1} of 5: ${said(slow.player, slow.phase, settings)}`);
    if (slow.phase === 4) {
      const both = !settings.alternating && !slow.alone;
      const arrive = (list) => list.forEach((entry) => take(entry, 1.2));
      if (!both) ask(slow.player, arrive);
      else if (slow.player === "g") ask("play", arrive);
    }
    core.redraw();
  }

  function slowNext() {
    if (slow.phase < 4) slow.phase += 1;
    else if (slow.alone) {
      slow = null;
      core.plays(false);
      core.say(sentence());
      return core.redraw();
    } else {
      slow.round += 1;                  // of this player; where both move at once, G's last step was the whole round
      const own = { d: settings.d_steps, g: settings.alternating ? settings.g_steps : 1 }[slow.player];
      if (slow.round >= own) [slow.player, slow.round] = [slow.player === "d" ? "g" : "d", 0];
      slow.phase = 0;
    }
    enter();
  }

  function slowJob(seconds) {
    if (!slow?.running) return false;
    slow.rest -= seconds;
    if (slow.rest <= 0) slowNext();
    return true;
  }

  // -- a density drawn by hand

  function draw(on) {
    stop();
    drawing = on ? heightsOf(table) : null;
    core.say(on ? "Draw the density with the mouse or a finger. When you let go, a new game begins with it." : sentence());
    version += 1;
    core.redraw();
  }

  // -- runs that are kept

  // Python holds name, settings, length and JSD of each, so that a page loaded anew finds them; null: forgotten.
  function shareRuns() {
    const told = ({ name, settings: own, rounds, curve }) => ({ name, settings: own, rounds, curve });
    core.share({ kept_runs: runs.map((run) => run && told(run)) });
    version += 1;
    core.redraw();
  }

  function keep() {
    const name = `run ${runs.length + 1}: ${preset?.name ?? settings.loss}, ${past[past.length - 1].step} rounds`;
    const curve = past.map(({ step, jsd }) => ({ step, jsd: finite(jsd) }));
    runs.push({ name, settings, rounds: past[past.length - 1].step, curve, past });
    shareRuns();
    core.say("Kept: its JSD stays in the picture in grey, and you may come back to it.");
  }

  function forget(n) {
    runs[n] = null;
    shareRuns();
    core.say("Forgotten.");
  }

  // To where a run was kept; one that this page has not played itself is played again.
  function back(n) {
    const run = runs[n];
    adopt({ ...run.settings });
    if (!run.past) return anew(`Back in ${run.name}.`).then(() => catchUp(run.rounds));
    stop();
    leaveSlow();
    lens.length = 0;
    begin(run.past);
    glide(past[at]);
    core.say(`Back in ${run.name}.`);
  }

  // Those that were kept in another tab, or before this page was loaded.
  function recall() {
    core.get("kept_runs").forEach((run, n) => { runs[n] = run && (runs[n] ?? { ...run }); });
    version += 1;
    core.redraw();
  }
  core.heed("kept_runs", recall);
  recall();

  // Plays on to a round, in some 200 frames, where a page is loaded again or was saved in mid-game. It ends there, or when
  // the reader does something, or where the game gets no farther.
  function catchUp(goal) {
    let [last, waiting, over] = [past[at], false, false];
    const unseen = [];                // who wants no motion sees only where it ends
    touched = false;
    if (goal === 0) return;
    async function onward() {
      waiting = true;
      const options = { last, steps: Math.min(Math.ceil(goal / 200), goal - last.step) };
      options.frames = Math.min(20, Math.floor((goal - last.step) / options.steps));
      const list = await moments("play", options).catch(() => []);
      waiting = false;
      over = touched || !list.length;
      if (over) return;
      last = list[list.length - 1];
      unseen.push(...list);
      if (CALM.matches && last.step < goal) return;
      unseen.splice(0).forEach((entry) => take(entry));
    }
    core.run(() => {
      if (over || (!waiting && (touched || last.step >= goal))) return false;
      if (!waiting) onward();
      return true;
    });
  }

  if (preset) pace(String(preset.steps));
  catchUp(core.get("state").rounds ?? 0);

  // -- what each view shows

  function view({ root }) {
    root.append(element("style", { textContent: MORE }));
    root.classList.add("toy-gan");
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "application");
    const play = playButton("Play", toggle);
    const fast = choice("speed", SPEEDS, "Speed", pace);
    const rate = element("span", { className: "reached" });
    const chips = presets.map((p) => button(p.name, `Preset: ${p.name}`, () => load(p), "chip"));
    const watch = element("p", { className: "watch" });
    const toggles = LAYERS.map(([name, words, look, colour]) => {
      const sign = element("i", colour ? { className: "sign", textContent: look, style: `color: ${colour}` } : { style: look });
      const made = button("", `Show ${words}`, () => { layers[name] = !layers[name]; core.redraw(); }, "layer");
      made.append(sign, words);
      return made;
    });
    const pen = button("✎ draw data", "Draw data: the density, by hand", () => draw(!drawing), "layer");
    const now = element("p", { className: "now" });
    const time = slider("timeline", { min: 0, max: 0, step: 1, label: "Timeline: rewind to an earlier moment", oninput: go });
    time.label.className = "wide";
    const lesson = element("div", { className: "slow", hidden: true });
    const { groups, sync } = panel((values) =>
      (values.data === "drawn" ? draw(true) : set("data" in values ? { ...values, heights: null } : values)));
    const tick = (words, change) => {
      const input = element("input", { type: "checkbox", onchange() { change(this.checked); version += 1; core.redraw(); } });
      return [input, element("label", { className: "tick" }, input, words)];
    };
    const [big, bigLabel] = tick("large type, for a projector", (on) => { large = on; });
    const [both, bothLabel] = tick("plot KL both ways beside JSD", (on) => { kls = on; });
    const kept = element("div");
    groups["Data and noise"].append(button("next seed", "Begin anew with the next seed", () => set({ seed: settings.seed + 1 })));
    const picture = element("fieldset", {}, element("legend", { textContent: "Picture and runs" }), bigLabel, bothLabel,
      element("div", { className: "row" }, button("keep this run", "Keep this run to compare it with others", keep)), kept);
    // On a wide screen the settings stand beside the picture, so that both are seen while a slider moves.
    const more = element("details", { ontoggle: () => core.redraw() }, element("summary", { textContent: "More settings" }));
    const help = element("p", { textContent: `${KEYS} 1 to ${presets.length} presets.` });
    root.append(
      element("div", { className: "row" }, play.button, button("Step", "Step: one round, or in slow motion what comes next", whole),
        button("Reset", "Reset: back to the start", reset),
        button("D step", "D step: one update of the discriminator", () => half("d")),
        button("G step", "G step: one update of the generator", () => half("g")), fast.label, rate),
      element("div", { className: "row", role: "group", ariaLabel: "Presets" }, ...chips), watch,
      element("div", { className: "row", role: "group", ariaLabel: "Layers of the picture" }, ...toggles, pen),
      lesson, element("div", { className: "stage" }, element("div", {}, canvas, now, element("div", { className: "row" }, time.label)), more));
    more.append(element("div", { className: "groups" }, ...Object.values(groups), picture), help);

    let boxes = layout(680, 1, false, window.innerHeight);
    draggable(canvas, pointer(hands, () => boxes));
    for (const kind of ["pointerdown", "keydown", "input"]) {
      root.addEventListener(kind, () => { touched = true; }, { capture: true });
    }
    root.addEventListener("keydown", keyboard(keys));
    // After a click the keys go to the picture, so that space plays whatever was clicked last.
    root.addEventListener("click", (event) => {
      if (event.detail > 0 && event.target.closest("button")) canvas.focus({ preventScroll: true });
    });

    function tell() {
      now.replaceChildren(...facts(past[at], settings).map(([words, colour]) => {
        const fact = element("span", { textContent: words });
        if (colour) inColour(fact, colour);
        return fact;
      }));
      time.output.textContent = `round ${past[at].step}`;
      core.describe(canvas, `The game of G and D. ${sentence()} ` +
        "Keys: space plays and pauses, arrow keys play a round and rewind, r resets.");
    }

    let synced = -1;
    return function paint() {
      const k = large ? 1.4 : 1;
      const room = window.innerHeight / zoomOf(root);
      root.classList.toggle("beside", more.open && root.clientWidth >= BESIDE * k);
      const { g } = prepare(canvas, (width) => (boxes = layout(width, k, !theory, room)).height);
      const drawn = drawing ? { low: -8, high: 8, p: drawing } : table;
      const scene = { now: shown, past, at, last: hands.last(), table: drawn, zs: settings.z === "normal" ? [-3, 3] : [-1, 1],
        layers, k, lens, loss: settings.loss, settings, slow, drawing, kls, ghosts: runs.filter(Boolean).map((r) => r.curve) };
      if (follow({ ...scene, table })) core.dirty = true;
      drawPlot(g, boxes, scene);
      if (!drawing) drawMapping(g, boxes, scene);
      drawCharts(g, boxes, scene);
      const busy = player.playing || Boolean(slow?.running);
      play.sync(busy);
      Object.assign(time.input, { max: past.length - 1, value: at });
      rate.textContent = behind() ? `${number(reached, reached < 10 ? 1 : 0)} reached` : "";
      if (!player.playing || core.frame % 3 === 0) tell();      // nobody reads thirty numbers a second
      toggles.forEach((made, i) => made.setAttribute("aria-pressed", layers[LAYERS[i][0]]));
      LAYERS.forEach(([name, words], i) => {
        const called = (settings.loss === "wasserstein" && CRITIC[name]) || words;
        toggles[i].lastChild.textContent = called;
        entitle(toggles[i], `Show ${called}`);
      });
      pen.setAttribute("aria-pressed", Boolean(drawing));
      explain(lesson, slow, settings);
      root.classList.toggle("large", large);
      root.classList.toggle("slowly", Boolean(slow));
      canvas.style.touchAction = drawing ? "none" : "pan-y";
      if (synced !== version) {
        synced = version;
        sync(settings);
        fast.select.value = speed;
        [big.checked, both.checked] = [large, kls];
        chips.forEach((made, i) => made.setAttribute("aria-pressed", presets[i].name === preset?.name));
        watch.textContent = preset ? preset.says : "Your own settings.";
        kept.replaceChildren(...runs.map((run, n) => (run ? element("div", { className: "kept" },
          button(run.name, `Go back to ${run.name}`, () => back(n)), button("×", `Forget ${run.name}`, () => forget(n))) : "")));
      }
      Object.assign(root.dataset, { step: past[at].step, at, kept: past.length, playing: busy, jsd: past[at].jsd,
        value: past[at].value, dupdates: past[at].d_updates, gupdates: past[at].g_updates, speed,
        phase: slow ? `${slow.player}${slow.phase + 1}` : "", preset: preset?.name ?? "", loss: settings.loss, data: settings.data, drawing: Boolean(drawing), runs: runs.filter(Boolean).length,
        plot: JSON.stringify(boxes.plot), time: JSON.stringify(boxes.charts[0]), lens: JSON.stringify(lens) });
    };
  }

  const hands = {
    drawing: () => drawing, dirac: () => settings.players === "dirac", redraw: () => core.redraw(),
    last: () => Math.max(past[past.length - 1].step, 50),
    goToStep: (step) => go(past.findIndex((_, i) => i === past.length - 1 || past[i + 1].step > step)),
    drawn() {
      if (Math.max(...drawing) <= 0) return core.say("A density must be above 0 somewhere: draw it higher.", true);
      set({ data: "drawn", heights: Array.from(drawing, (h) => Number(h.toFixed(4))) });
      core.say("A new game with your density. Draw on, or press play.");
    },
  };
  const keys = (key) => ({
    " ": toggle, r: reset, d: () => half("d"), g: () => half("g"),
    ArrowLeft: () => go(at - 1), ArrowRight: () => (at < past.length - 1 && !slow ? go(at + 1) : whole()),
    s: () => pace(speed === "slow" ? "1" : "slow"), l: () => { large = !large; version += 1; core.redraw(); },
    Escape: drawing && (() => draw(false)),
  }[key] ?? (presets[Number(key) - 1] && (() => load(presets[Number(key) - 1]))));

  // What the page around a widget may ask of it.
  const page = {
    settings: () => settings,
    moment: () => past[at],
    at: () => at,
    kept: () => past.length,
    go(place) {
      touched = true;         // as if the reader had moved the time line
      go(place);
    },
    load: (name) => load(presets.find((p) => p.name === name)),
    set,
    toggle,
    busy: () => player.playing || Boolean(slow?.running),
    explain(on) {
      theory = on;
      layers.d_star = on;
      core.redraw();
    },
  };
  return { view, page };
}

const definition = widget(build);
export default definition;
export { toyGanEngine };
