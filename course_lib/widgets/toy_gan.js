// The front end of ToyGAN: controls, the time line, slow motion. The picture is in toy_gan_picture.js; the game itself
// is played by the kernel, or, in a page without one, by toy_gan_engine.js, which answers the same questions.

// Every second one of the older entries goes, so that the whole game stays on a line of bounded length.
const moment = (entry) => [entry.d_updates, entry.g_updates];
const fresh = (entry) => entry.d_updates + entry.g_updates === 0;
const thin = (list) => (list.length <= MOST ? list : list.filter((_, i) => i % 2 === 0 || i >= list.length - RECENT));

function build(core) {
  const model = core.model;
  const [presets, tables] = [model.get("presets"), model.get("tables")];
  const session = new Session(model.get("settings"), tables);
  const told = () => ({ ...(core.live ? model.get("settings") : session.settings) });
  let settings = told();
  let table = tableOf(settings, tables);
  let past = session.frames({ do: "history" }).map(read);
  let at = 0;                         // the place on the time line
  let shown = past[0];                // what is drawn: an entry, or something on the way to it
  let pending = {};                   // settings that the kernel has not been told
  let chain = Promise.resolve();      // one question after another
  let speed = "1";
  let slow = null;                    // { player, phase, rest, round, alone }
  let [moving, lens, runs, version, asked] = [null, [], [], 0, false];
  let touched = false;                // has the reader done anything yet?
  let [large, kls, drawing, preset] = [false, false, null, presets.find((p) => same(p.settings, settings)) ?? null];
  let theory = !model.get("plain");    // a page for visitors begins without D* and V
  const layers = Object.fromEntries(LAYERS.map(([name]) => [name, theory || name !== "d_star"]));

  // -- the game

  const changes = () => { const set = pending; pending = {}; return { at: moment(past[at]), set }; };

  const player = new Player(core, {
    rate: 30,
    request: (ahead) => ({ do: "play", ...changes(), ...(ahead ? { at: moment(read(player.queue[ahead - 1])) } : {}) }),
    show: (row) => { take(read(row)); clock(); },
    fail: () => { settings = told(); version += 1; },
  });

  // How many rounds a second are shown: measured over a second, so that the number can be read. Where as many as are
  // wanted take too long, a frame gets fewer, so that the picture stays fluent and a kernel has time for cells as well.
  let [reached, since, began] = [null, 0, 0];
  const wanted = () => Number(speed) || 1;
  function clock() {
    const now = performance.now();
    if (since && now - since < 1000) return;
    const seconds = (now - since) / 1000;
    reached = since && seconds < 5 ? (past[at].step - began) / seconds : null;
    const { steps, rate, took } = player;
    const busy = (took * rate) / 1000;                  // the share of the time in which frames are computed
    if (busy > 0.85) player.steps = Math.max(1, Math.floor((steps * 0.85) / busy));
    else if (took && (busy * (steps + 1)) / steps < 0.75) {
      player.steps = Math.min(Math.max(steps + 1, Math.floor((steps * 0.75) / busy)), wanted());
    }
    [since, began] = [now, past[at].step];
  }
  const behind = () => player.playing && reached !== null && reached < 0.8 * player.rate * wanted();

  // Another game may take longer or less long, and the rounds of the one before are not its own.
  function begin(entries) {
    [past, at] = [entries, entries.length - 1];
    [reached, since, player.took] = [null, 0, 0];
  }

  function take(entry, seconds = 0) {
    if (fresh(entry)) begin([entry]);
    else {
      // What is forgotten in the kernel may be one moment more than here: the picture follows.
      past = past.slice(0, at + 1).filter((p) => p.d_updates <= entry.d_updates && p.g_updates <= entry.g_updates);
      past.push(entry);
      past = thin(past);
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
    core.redraw();
  }

  function ask(request, use) {
    stop();
    chain = chain.then(async () => {
      try {
        use((await core.ask({ frames: 1, steps: 1, ...changes(), ...request })).map(read));
      } catch (error) {
        settings = told();
        version += 1;
        core.redraw();
        core.say(error.message, true);
      }
    });
    return chain;
  }

  function stop() {
    player.pause();
    player.clear();
    [reached, since] = [null, 0];
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
    ask({ do: "set" }, () => {});       // so that Python, and a page loaded anew, stand where this one does
  }

  async function toggle() {
    if (player.playing || slow?.running) return pause();
    if (drawing) draw(false);
    if (speed === "slow") return slowly();
    core.say("Playing. Space pauses.");
    await chain;
    player.play();
  }

  const one = (which, said = "") => ask({ do: which }, ([entry]) => {
    take(entry, 0.35);
    core.say(said + sentence());
  });
  const half = (which) => (speed === "slow" ? slowly(which) : one(which, `One step of ${which.toUpperCase()}. `));
  const whole = () => (slow ? slowNext() : one("play"));
  const anew = (request, said) => ask(request, (entries) => {
    begin(entries);
    lens.length = 0;
    leaveSlow();
    glide(past[at]);
    core.say(said ?? `A new game. ${sentence()}`);
  });
  const reset = () => anew({ do: "reset" }, "Back at the start: the same game again, unless a setting changes.");

  function go(place) {
    stop();
    leaveSlow();
    at = Math.min(Math.max(Math.round(place), 0), past.length - 1);
    glide(past[at]);
    core.say(`${at < past.length - 1 ? "Rewound: play goes on from here. " : ""}${sentence()}`);
  }

  // New settings: at once, and without a pause while the game is played.
  function set(values) {
    const before = table;
    settings = { ...settings, ...values };
    pending = { ...pending, ...values };
    preset = null;
    version += 1;
    if ("data" in values || "players" in values) table = tableOf(settings, tables);
    if (before !== table) lens.length = 0;
    if (player.playing) return player.clear();
    if (asked) return;
    asked = true;                     // a dragged slider asks once, when the last question is answered
    chain.then(() => {
      asked = false;
      if (!Object.keys(pending).length) return;
      ask({ do: "set" }, ([entry]) => {
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
    settings = { ...chosen.settings };
    [pending, preset, drawing] = [{}, chosen, null];
    version += 1;
    table = tableOf(settings, tables);
    if (chosen.steps && speed !== "slow") pace(String(chosen.steps));
    anew({ do: "reset", set: settings }, `Ready: ${chosen.name}. Space plays.`);
  }

  function pace(value) {
    speed = value;
    version += 1;
    if (slow && value !== "slow") {
      leaveSlow();
      core.say(sentence());
    }
    player.rate = value === "1/6" ? 5 : 30;
    player.steps = wanted();
    player.frames = value === "1/6" ? 2 : 6;
    player.clear();
    [reached, since, player.took] = [null, 0, 0];
    if (player.playing && value === "slow") { stop(); slowly(); }
    core.redraw();
  }

  function refresh() {
    ask({ do: "history" }, (entries) => {
      settings = told();
      version += 1;
      table = tableOf(settings, tables);
      begin(entries);
      preset = presets.find((p) => same(p.settings, settings)) ?? null;
      glide(past[at]);
    });
  }
  model.on("change:settings", () => {
    if (Object.keys(pending).length) return;
    settings = told();
    version += 1;
    core.redraw();
  });

  // A page computes a little between two pictures, where a kernel would do six frames at once.
  const offline = async (request) => session.frames({ ...request, frames: Math.min(request.frames ?? 1, 2) });

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
    slow.reals = new Game(settings, tables).data(past[at].d_updates, POINTS);
    slow.narrow = settings.players === "network" && past[at].std < 0.15;     // a hundredth of the picture
    core.say(`${NAMES[slow.player]}, ${slow.phase + 1} of 5: ${said(slow.player, slow.phase, settings)}`);
    if (slow.phase === 4) {
      const both = !settings.alternating && !slow.alone;
      if (!both) ask({ do: slow.player }, ([entry]) => take(entry, 1.2));
      else if (slow.player === "g") ask({ do: "play" }, ([entry]) => take(entry, 1.2));
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

  const keep = () => {
    const last = past[past.length - 1];
    const name = `run ${runs.length + 1}: ${preset?.name ?? settings.loss}, ${last.step} rounds`;
    return ask({ do: "keep", name, at: moment(last) }, (entries) => {
      if (!core.live) runs.push({ name, settings: { ...settings }, past: entries });
      version += 1;
      core.say("Kept: its JSD stays in the picture in grey, and you may come back to it.");
      core.redraw();
    });
  };
  // The kernel knows them all, also those that were kept in another tab, or before this page was loaded.
  async function recall() {
    const kept = model.get("kept_runs");
    for (let n = 0; n < kept.length; n++) {
      if (!kept[n]) runs[n] = null;
      else runs[n] ??= { ...kept[n], past: (await core.ask({ do: "run", run: n })).map(read) };
    }
    version += 1;
    core.redraw();
  }
  const forget = (n) => ask({ do: "forget", run: n }, () => {
    runs[n] = null;
    version += 1;
    core.say("Forgotten.");
    core.redraw();
  });
  const back = (n) => {
    settings = { ...runs[n].settings };
    [pending, preset] = [{}, presets.find((p) => same(p.settings, settings)) ?? null];
    table = tableOf(settings, tables);
    version += 1;
    anew({ do: "load", run: n, set: {} }, `Back in ${runs[n].name}.`);
  };

  if (preset) pace(String(preset.steps));
  if (core.live) {
    const recalled = () => recall().catch(() => {});       // a lost kernel is said by whatever else asks it
    model.on("change:kept_runs", recalled);
    recalled();
    refresh();
  } else catchUp(model.get("played"));

  // A page without a kernel begins where the widget was when it was saved, in some 200 frames. It ends there, or when
  // the reader does something, or where the game gets no farther; each of them, for what goes on here would go on for ever.
  async function catchUp(goal) {
    let last = past[at];
    const unseen = [];                // who wants no motion sees only where it ends
    while (!touched && last.step < goal) {
      const begun = last.step;
      const steps = Math.min(Math.ceil(goal / 200), goal - begun);
      const frames = Math.min(20, Math.floor((goal - begun) / steps));
      await ask({ do: "play", frames, steps, at: moment(last) }, (entries) => {
        if (touched) return;
        last = entries[entries.length - 1];
        if (CALM.matches) unseen.push(...entries);
        else entries.forEach((entry) => take(entry));
      });
      if (last.step <= begun) break;
      await new Promise((next) => { setTimeout(next, 0); });
    }
    if (!touched) unseen.forEach((entry) => take(entry));
  }

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

    let boxes = layout(680, 1);
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
      now.replaceChildren(...facts(past[at], settings).map(([words, colour]) =>
        element("span", { textContent: words, style: colour ? `color: ${colour}; font-weight: 600` : "" })));
      time.output.textContent = `round ${past[at].step}`;
      core.describe(canvas, `The game of G and D. ${sentence()} ` +
        "Keys: space plays and pauses, arrow keys play a round and rewind, r resets.");
    }

    let synced = -1;
    return function paint() {
      const k = large ? 1.4 : 1;
      root.classList.toggle("beside", more.open && root.clientWidth >= BESIDE * k);
      const { g } = prepare(canvas, (width) => (boxes = layout(width, k, !theory)).height);
      const drawn = drawing ? { low: -8, high: 8, p: drawing } : table;
      const scene = { now: shown, past, at, last: hands.last(), table: drawn, zs: settings.z === "normal" ? [-3, 3] : [-1, 1],
        layers, k, lens, loss: settings.loss, settings, slow, drawing, kls, ghosts: runs.filter(Boolean).map((r) => r.past) };
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
  return { view, refresh, offline, page };
}

const definition = widget(build);
export default definition;
export { Session, Game, HEAD, ROWS, read };
