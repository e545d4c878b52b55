// The front end of ToyGAN: the controls, the timeline, and slow motion. The picture is drawn by toy_gan_picture.js. The
// game is computed by toy_gan_engine.js in a worker that stores nothing, so the past moments are stored here.

const FRAMES = 6;         // moments requested at once
const MOST = 600;         // the largest number of moments on the timeline
const BYTES = 30e6;       // the largest size of all moments together, which allows fewer for large networks
const RECENT = 64;        // the newest moments, none of which is dropped

const fresh = (entry) => entry.d_updates + entry.g_updates === 0;
const same = (a, b) => Object.keys(a).every((name) => alike(a[name] ?? null, b[name] ?? null));
const finite = (value) => (Number.isFinite(value) ? value : null);      // JSON has no infinity or NaN

// Drops every second one of the older moments, so that a timeline of bounded length covers the whole game.
function thin(list) {
  const most = Math.min(MOST, BYTES / (8 * list[0].state.length + 4 * SIZE));
  const recent = list.length - Math.min(RECENT, most / 4);
  return list.length <= most ? list : list.filter((_, i) => i % 2 === 0 || i >= recent);
}

// The moments in a reply: the contents of each frame, with the state and the settings from which the game can continue.
function entries({ frames, states, count }, settings) {
  const size = states.length / count;
  return Array.from({ length: count }, (_, i) => ({
    ...read(frames.slice(i * SIZE, (i + 1) * SIZE)), state: states.slice(i * size, (i + 1) * size), settings }));
}

function build(core) {
  const model = core.model;
  const [presets, tables] = [model.get("presets"), model.get("tables")];
  const engine = new Background([toyGanKernels, toyGanPlayers, toyGanEngine], start, tables);
  core.closing.push(() => engine.close());
  let settings = { ...model.get("settings") };
  let table = tableOf(settings, tables);
  let past = entries(start(tables)({ from: null, settings, what: "look" }), settings);
  let at = 0;                         // the position on the timeline
  let shown = past[0];                // what is drawn: an entry, or a blend on the way to it
  let chain = Promise.resolve();      // resolves when the last request is done
  let speed = "1";
  let slow = null;                    // { player, phase, rest, round, alone }
  let [moving, lens, runs, version, asked] = [null, [], [], 0, false];
  let touched = false;                // whether the reader has done anything yet
  const known = () => presets.find((p) => same(p.settings, settings)) ?? null;
  let [large, kls, drawing, preset] = [false, false, null, known()];
  let theory = !model.get("plain");    // the page for visitors starts without D* and V
  const layers = Object.fromEntries(LAYERS.map(([name]) => [name, theory || name !== "d_star"]));

  // -- the game

  // Requests the moments that follow a given one under the current settings. A different game starts with its first
  // moment.
  async function moments(what, { last = past[at], frames = 1, steps = 1 } = {}) {
    const under = settings;
    const from = last && !restarts(last.settings, under) ? last.state : null;
    return entries(await engine.ask({ from, settings: under, what, frames, steps }), under);
  }

  // Stops playing and sends a request. `use` receives the moments.
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

  // While the game plays, some moments are computed ahead. They are discarded after a change of settings or a rewind.
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
      // Without a worker, the page itself computes, so one frame at a time.
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

  // Measures the number of rounds shown per second, over a whole second so that the number is readable.
  let [reached, since, began] = [null, null, 0];
  function clock() {
    const now = performance.now();
    if (since !== null && now - since < 1000) return;
    reached = since === null ? null : (1000 * (past[at].step - began)) / (now - since);
    [since, began] = [now, past[at].step];
    share();
  }
  const behind = () => player.playing && reached !== null && reached < 0.8 * player.rate * steps;

  // Sends Python the settings and the numbers of the moment that is shown.
  function share() {
    const { step, ...numbers } = Object.fromEntries(HEAD.map((name) => [name, finite(past[at][name])]));
    core.share({ settings, state: { rounds: step, ...numbers } });
  }

  // Starts a new list of moments. The measured speed of the previous game does not apply to it.
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

  // Shows an entry, with a smooth transition if `seconds` is positive.
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

  // Ends slow motion, so that its last message is announced.
  function leaveSlow() {
    if (!slow) return;
    slow = null;
    core.plays(false);
  }

  const sentence = () => {
    const now = past[at];
    const told = Number.isFinite(now.accuracy) && settings.loss !== "wasserstein";
    const right = told ? ` D is right on ${number(100 * now.accuracy, 0)} % of the points.` : "";
    return `Round ${now.step}. JSD to the data: ${brief(now.jsd)} nats.${right}`;
  };

  function pause() {
    stop();
    if (slow) slow.running = false;
    core.plays(false);
    core.redraw();                      // because slow motion draws only when something moves
    core.say(`Paused. ${sentence()}`);
    share();
  }

  async function toggle() {
    if (player.playing || slow?.running) return pause();
    if (drawing) draw(false);
    if (speed === "slow") return slowly();
    core.say("Playing. Press space to pause.");
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
  const reset = () => anew("Back at the start. The same game will be played again unless you change a setting.");

  function go(place) {
    stop();
    leaveSlow();
    at = Math.min(Math.max(Math.round(place), 0), past.length - 1);
    glide(past[at]);
    core.say(`${at < past.length - 1 ? "Rewound. Play continues from here. " : ""}${sentence()}`);
  }

  // Makes these settings the current ones and updates what depends on them.
  function adopt(values) {
    const before = table;
    settings = values;
    preset = known();
    version += 1;
    touched = true;
    table = tableOf(settings, tables);
    if (!alike([...before.p], [...table.p])) lens.length = 0;
  }

  // Changes settings, from the page or from Python, without a pause if the game is playing.
  function set(values) {
    adopt({ ...settings, ...values });
    core.share({ settings });
    core.redraw();
    if (player.playing) return forgetAhead();
    if (asked) return;
    asked = true;                     // a dragged slider causes one request, after the last reply
    chain.then(() => {
      asked = false;
      ask("look", ([entry]) => {
        if (!fresh(entry)) past[at] = entry;
        else {
          begin([entry]);
          core.say(`This setting starts a new game. ${sentence()}`);
        }
        glide(entry);
      });
    });
  }

  function load(chosen) {
    adopt({ ...chosen.settings });
    drawing = null;
    if (chosen.steps && speed !== "slow") pace(String(chosen.steps));
    anew(`Ready: ${chosen.name}. Press space to play.`);
  }

  // A speed of 1 is 30 rounds per second. At most sixty frames are shown per second, so faster speeds play several
  // rounds per frame.
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
    slow.narrow = settings.players === "network" && past[at].std < 0.15;     // about a hundredth of the picture's width
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
      slow.round += 1;                  // of this player; if both move at once, G's last step was the whole round
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
    core.say(on ? "Draw the density with the mouse or a finger. A new game starts when you let go." : sentence());
    version += 1;
    core.redraw();
  }

  // -- runs that are kept

  // Python stores the name, settings, length and JSD of each run, so that they survive a reload. A deleted run is null.
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
    core.say("This run is kept. Its JSD stays in the picture in grey, and you can return to the run.");
  }

  function forget(n) {
    runs[n] = null;
    shareRuns();
    core.say("The run has been deleted.");
  }

  // Returns to the moment at which a run was kept. A run that this page has not played is played again.
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

  // Loads the runs that were kept in another tab or before this page was loaded.
  function recall() {
    core.get("kept_runs").forEach((run, n) => { runs[n] = run && (runs[n] ?? { ...run }); });
    version += 1;
    core.redraw();
  }
  core.heed("kept_runs", recall);
  recall();

  // Plays up to a round in about 200 frames, after a page was reloaded or was saved during a game. Stops at that round,
  // when the reader does something, or when the game cannot continue.
  function catchUp(goal) {
    let [last, waiting, over] = [past[at], false, false];
    const unseen = [];                // with reduced motion, only the end is shown
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
    const [both, bothLabel] = tick("plot both KL divergences with the JSD", (on) => { kls = on; });
    const kept = element("div");
    groups["Data and noise"].append(button("next seed", "Start again with the next seed", () => set({ seed: settings.seed + 1 })));
    const picture = element("fieldset", {}, element("legend", { textContent: "Picture and runs" }), bigLabel, bothLabel,
      element("div", { className: "row" }, button("keep this run", "Keep this run to compare it with others", keep)), kept);
    // On a wide screen the settings are next to the picture, so that both are visible while a slider moves.
    const more = element("details", { ontoggle: () => core.redraw() }, element("summary", { textContent: "More settings" }));
    const help = element("p", { textContent: `${KEYS} 1 to ${presets.length} choose a preset.` });
    root.append(
      element("div", { className: "row" }, play.button, button("Step", "Step: one round, or the next step of slow motion", whole),
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
    // After a click on a button the picture gets the focus, so that the space bar always plays or pauses.
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
        "Keys: space plays and pauses; the arrow keys rewind and play a round; r resets.");
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
      if (!player.playing || core.frame % 3 === 0) tell();      // thirty changes per second cannot be read
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
          button(run.name, `Go back to ${run.name}`, () => back(n)), button("×", `Delete ${run.name}`, () => forget(n))) : "")));
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
      if (Math.max(...drawing) <= 0) return core.say("A density must be above 0 somewhere. Draw it higher.", true);
      set({ data: "drawn", heights: Array.from(drawing, (h) => Number(h.toFixed(4))) });
      core.say("A new game with your density. Continue drawing, or press Play.");
    },
  };
  const keys = (key) => ({
    " ": toggle, r: reset, d: () => half("d"), g: () => half("g"),
    ArrowLeft: () => go(at - 1), ArrowRight: () => (at < past.length - 1 && !slow ? go(at + 1) : whole()),
    s: () => pace(speed === "slow" ? "1" : "slow"), l: () => { large = !large; version += 1; core.redraw(); },
    Escape: drawing && (() => draw(false)),
  }[key] ?? (presets[Number(key) - 1] && (() => load(presets[Number(key) - 1]))));

  // The functions that the page around a widget can call.
  const page = {
    settings: () => settings,
    moment: () => past[at],
    at: () => at,
    kept: () => past.length,
    go(place) {
      touched = true;         // the same as if the reader had moved the timeline
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
export { toyGanEngine, toyGanKernels };
