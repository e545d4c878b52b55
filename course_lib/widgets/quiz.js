// The front end of Quiz. The traits alone determine what is shown: the question is the first one, in the seed's order,
// that has not been answered in this round (mode, alone or class, seed). A reload, a second view and Python therefore
// agree.

const WORDS = { real: ["real ✓", `5px solid ${COLOUR.bound}`, COLOUR.boundText], made: ["made ✗", `5px dashed ${COLOUR.gap}`, COLOUR.gapText] };
const DONE = `You have enough answers: the 95 % interval is narrower than ${100 * ENOUGH} percentage points.`;
const percent = (share, digits = 0) => `${number(100 * share, digits)}\u00a0%`;
const many = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

const LOOK = `
.course-widget .stage { border-radius: 6px; padding: 4px; }
.course-widget .stage .row, .course-widget .cards { justify-content: center; }
.course-widget .cards { display: flex; gap: 16px; text-align: center; font-weight: 600; }
.course-widget .cards canvas { image-rendering: pixelated; border-radius: 0; box-shadow: none !important; }
.course-widget .cards span { display: block; min-height: 1.4em; }
.course-widget .frame { border: 5px solid var(--frame); }
.course-widget input.count { font: inherit; color: var(--ink); background: var(--paper); width: 4em; min-height: 34px; margin: 0;
  padding: 2px 8px; border: 1px solid var(--line); border-radius: 6px; }
/* the status, which live.js puts last, is shown below the images */
.course-widget.quiz { display: flex; flex-direction: column; }
.course-widget.quiz > .status { order: 1; }
.course-widget.quiz > .after { order: 2; }
.course-widget [hidden] { display: none !important; }
.course-widget.hall, .course-widget.hall .sum { font-size: 22px; }
.course-widget.hall .parts { font-size: 18px; }`;

function build(core) {
  const kernel = new Kernel(core);
  const [n, H, W, columns] = core.get("shape");
  const NAMES = ["mode", "classroom", "seed", "answers", "revealed"];
  const now = () => Object.fromEntries(NAMES.map((name) => [name, core.get(name)]));
  const sprite = element("img", { onload: () => core.redraw(), src: core.get("sprite") });
  let sure = false;             // Clear has been pressed once
  const key = `course-quiz-${core.get("uid")}`;

  function set(traits) {
    sure = false;
    core.share(traits);
    // A page opened from disk may have no storage; a reload then starts again.
    if (!core.live) try { localStorage.setItem(key, JSON.stringify(now())); } catch { /* they cannot be stored */ }
    core.redraw();
  }
  if (!core.live) {
    try {
      const kept = JSON.parse(localStorage.getItem(key));
      if (Array.isArray(kept?.answers)) for (const name of NAMES) core.model.set(name, kept[name]);
    } catch { /* no storage, as above */ }
  }
  for (const name of NAMES) core.heed(name, () => { sure = false; core.redraw(); });

  // The current round: {mode, classroom, seed, answers, revealed, rows, asked, at, question, kinds}.
  function state() {
    const s = now();
    s.rows = s.answers.filter((a) => a.mode === s.mode && a.class === s.classroom && a.seed === s.seed);
    s.asked = order(n, s.mode, s.seed);
    s.revealed &&= s.rows.length > 0;
    s.at = s.rows.length - (s.revealed ? 1 : 0);
    s.question = s.asked[s.at];         // undefined after the last question
    s.kinds = !s.question ? [] : s.mode === "one" ? [s.question.shown]
      : [s.question.left, s.question.left === "real" ? "made" : "real"];
    return s;
  }

  function answer(votes) {
    const { mode, classroom, seed, answers, question, kinds, revealed } = state();
    if (revealed || !question) return;
    const voters = votes[0] + votes[1];
    // The people who took the made image for real, or who called a single real image made.
    const fooled = votes[mode === "pairs" ? kinds.indexOf("made") : Number(kinds[0] === "real")];
    const truth = mode === "pairs" ? `The ${kinds[0] === "real" ? "left" : "right"} image is real, and the other one is made.`
      : `This image is ${kinds[0]}.`;
    const took = kinds[0] === "real" && mode === "one" ? "called it made" : "took the made image for real";
    const short = left() > 0;
    set({ answers: [...answers, { mode, class: classroom, seed, ...question, votes }], revealed: true });
    const reached = short && left() === 0 ? ` ${DONE}` : "";
    core.say((classroom ? `${truth} ${fooled} of ${many(voters, "vote")} ${took}.`
      : fooled ? `${truth} You ${took}.` : `Right. ${truth}`) + reached);
  }

  // How many more made images or pairs are needed.
  function left() {
    const { rows, mode } = state();
    return stillNeeded(score(rows, mode).made_taken_for_real);
  }

  function next() {
    set({ revealed: false });
    core.say("");
  }

  function restart() {
    set({ seed: (core.get("seed") + 1) % 2 ** 31, revealed: false });
    core.say("The same images come again in another order. If you remember some of them, you are harder to fool now.");
  }

  function clear() {
    const [all, asked] = [core.get("answers").length, sure];
    if (asked && all) set({ answers: [], revealed: false });
    sure = !asked && all > 0;
    core.say(!all ? "There is no answer to delete." : sure ? "Press again to delete all answers in both modes."
      : `${many(all, "answer")} deleted.`);
    core.redraw();
  }

  async function save() {
    sure = false;
    const { mode, seed, classroom, rows, answers } = state();
    if (!answers.length) return core.say("There is no answer to save yet.");
    if (core.live) {
      try {
        const [reply] = await kernel.ask({ save: answers });
        return core.say(new TextDecoder().decode(Uint8Array.from(reply)));
      } catch (error) {
        if (error.message !== GONE) return core.say(error.message, true);     // else the page saves them itself
      }
    }
    const told = { date: new Date().toISOString(), mode, seed, class: classroom, ...score(rows, mode), answers };
    const href = URL.createObjectURL(new Blob([`${JSON.stringify(told, null, 1)}\n`], { type: "application/json" }));
    const download = core.get("file").split(/[\\/]/).pop();
    element("a", { href, download }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
    core.say(`Saved: the browser has put ${download} into its download folder.`);
  }

  // -- words

  function verdict({ mode, classroom, rows, answers }) {
    const { made_taken_for_real: taken, real_called_made: called } = score(rows, mode);
    const who = classroom ? "The class" : "You";
    const of = ({ hands, voters, images, share }, what) => `${hands} of `
      + `${classroom ? `${many(voters, "vote")} on ` : ""}${many(images, what)}, ${percent(share)}. `;
    const lines = [];
    if (taken) {
      const [low, high] = taken.interval;
      const [mark, name] = mode === "one" ? [LECTURE, `the lecture’s ${percent(LECTURE)}`]
        : [CHANCE, `the ${percent(CHANCE)} that guessing gives`];
      const side = low > mark ? "is above" : high < mark ? "is below" : "contains";
      lines.push(`${who} took the made image for real: ${of(taken, mode === "one" ? "made image" : "pair")}`
        + `The 95 % interval, ${number(100 * low, 1)} to ${percent(high, 1)}, ${side} ${name}.`);
    }
    if (called) {
      lines.push(`${who} called the real image made: ${of(called, "real image")}`
        + "Look at both shares: they add up to 100 % for a person who cannot tell the difference, or who always says “real”.");
    }
    if (classroom) lines.push("The votes of one class on one image are not independent, so n is the number of images.");
    lines.push(mode === "one"
      ? "The lecture’s 21 % corresponds to the first share. If it was an error rate, compare it with the mean of both shares."
      : "Do not compare this share with the lecture’s 21 %: a mere guess takes the made image of a pair for real in 50 % of cases.");
    if (answers.length > rows.length) {
      lines.push("You saw some of these images in another round. If you remember them, you are harder to fool.");
    }
    return lines;
  }

  // When to stop.
  function enough({ mode, rows }) {
    const taken = score(rows, mode).made_taken_for_real;
    const more = stillNeeded(taken);
    if (!more) return DONE;
    return `You have enough answers when the 95 % interval is narrower than ${100 * ENOUGH} percentage points, after about `
      + `${many(more, mode === "one" ? "more made image" : "more pair")}`
      + (taken ? ", if the share does not change." : ", or fewer if the share is far from one half.");
  }

  function drawScore(canvas, { mode, classroom, rows }) {
    const { made_taken_for_real: taken, real_called_made: called } = score(rows, mode);
    const bars = [["made, taken for real", taken, COLOUR.gap], ["real, called made", called, COLOUR.bound]]
      .slice(0, mode === "one" ? 2 : 1);
    const size = classroom && canvas.clientWidth > 560 ? 19 : 14;
    const { g, width, height } = prepare(canvas, () => size * (4.4 + 3 * bars.length));
    const x = (share) => 24 + share * (width - 52);
    const floor = height - 1.7 * size;
    for (const v of [0, 0.25, 0.5, 0.75, 1]) {
      path(g, [x(v), x(v)], [floor, floor + 5], { colour: COLOUR.ink, width: 1 });
      text(g, percent(v), x(v), floor + size, { align: "center", size: size - 1 });
    }
    path(g, [x(0), x(1)], [floor, floor], { colour: COLOUR.ink, width: 1 });
    const marks = [[CHANCE, "guessing", [2, 3], "left"], [LECTURE, "lecture", [7, 4], "center"]];
    for (const [v, name, dash, align] of marks.slice(0, bars.length)) {     // for pairs, only guessing is comparable
      path(g, [x(v), x(v)], [1.6 * size, floor], { colour: COLOUR.prior, width: 2, dash });
      text(g, `${name} ${percent(v)}`, x(v), 0.8 * size, { align, size: size - 1 });
    }
    bars.forEach(([name, got, colour], i) => {
      const y = size * (2.5 + 3 * i);
      g.fillStyle = "#fff";
      g.font = `600 ${size}px ${FONT}`;
      const label = `${name}: ${got ? percent(got.share) : "no answer yet"}`;
      g.fillRect(x(0), y - size * 0.7, g.measureText(label).width + 4, 1.4 * size);
      text(g, label, x(0), y, { size, bold: true });
      if (!got) return;
      const [low, high] = got.interval.map(x);
      path(g, [low, high], [y + 1.4 * size, y + 1.4 * size], { colour, width: 4 });
      for (const end of [low, high]) path(g, [end, end], [y + size, y + 1.8 * size], { colour, width: 2 });
      circle(g, x(got.share), y + 1.4 * size, 0.5 * size, colour, "#fff", 2);
    });
  }

  // -- the view

  function view({ root }) {
    const part = (tag, className, ...children) => element(tag, { className }, ...children);
    const turn = (traits) => { set({ ...traits, revealed: false }); core.say(""); };
    const modes = choice("ask", [["one", "one at a time"], ["pairs", "pairs"]], "Ask: one image at a time, or pairs",
      (mode) => turn({ mode }));
    const hall = element("input", { type: "checkbox", onchange: () => turn({ classroom: hall.checked }) });
    const cards = [0, 1].map(() => {
      const canvas = element("canvas", { width: W, height: H });
      canvas.setAttribute("role", "img");
      const frame = part("div", "frame", canvas);
      const word = element("span");
      return { canvas, frame, word, card: element("div", {}, frame, word) };
    });
    const choose = (side) => answer(side === 0 ? [1, 0] : [0, 1]);
    const picks = [0, 1].map((side) => button("", "", () => choose(side), "main"));
    cards.forEach(({ frame }, side) => {
      frame.onclick = () => { if (core.get("mode") === "pairs" && !core.get("classroom")) choose(side); };
    });
    const inputs = [0, 1, 2].map(() =>
      element("input", { className: "count", type: "text", inputMode: "numeric", autocomplete: "off" }));
    const labels = inputs.map((input) => element("label", {}, "", input));
    function reveal() {
      try {
        answer(count(core.get("mode"), inputs.map((input) => input.value.trim())));
      } catch (error) {
        core.say(error.message, true);
      }
    }
    const hands = part("div", "row", ...labels, button("Reveal", "Reveal the truth", reveal, "main"));
    const [on, again] = [button("Next", "Next image (Enter)", next, "main"), button("", "", restart, "main")];
    const question = part("p", "sum");
    const stage = part("div", "stage", part("div", "cards", ...cards.map(({ card }) => card)),
      part("div", "row", ...picks, on, again), hands);
    stage.tabIndex = 0;
    stage.setAttribute("role", "group");
    stage.dataset.lmSuppressShortcuts = "true";     // otherwise the notebook would take m and r as its own commands
    const bars = element("canvas");
    bars.setAttribute("role", "img");
    const lines = part("div", "parts");
    const [keep, wipe] = [button("Save", "Save the answers to a file", save), button("", "", clear)];
    wipe.onblur = () => { if (sure) { sure = false; core.redraw(); } };
    root.append(element("style", { textContent: LOOK }),
      part("div", "row", modes.label, element("label", {}, hall, "class mode: count hands")),
      question, stage, part("div", "after", bars, lines, part("div", "row", keep, wipe)));
    root.classList.add("quiz");

    stage.onkeydown = (event) => {
      const s = state();
      const keys = s.mode === "one" ? ["r", "m"] : ["arrowleft", "arrowright"];
      const side = keys.indexOf(event.key.toLowerCase());
      const enter = event.key === "Enter" || event.key === " ";
      const act = event.ctrlKey || event.metaKey || event.altKey || !s.question ? null
        : s.revealed ? enter && next
          : s.classroom ? event.key === "Enter" && inputs.includes(event.target) && reveal
            : side >= 0 && (() => choose(side));
      if (!act) return;
      event.preventDefault();
      event.stopPropagation();        // otherwise the notebook would move to another cell
      if (!event.repeat) act();
    };

    let last = null;              // the question for which the hands are being typed in
    return function paint() {
      const s = state();
      const { mode, classroom, question: q, revealed, kinds } = s;
      const one = mode === "one";
      const held = root.getRootNode().activeElement;
      const inside = stage.contains(held);
      root.classList.toggle("hall", classroom);
      modes.select.value = mode;
      hall.checked = classroom;
      question.textContent = !q ? `All ${s.asked.length} ${one ? "images" : "pairs"} have been shown.`
        : `${one ? "Image" : "Pair"} ${s.at + 1} of ${s.asked.length}: ${one ? "real or made?" : "which one is real?"}`;
      const room = root.clientWidth - 40;
      const high = classroom ? (0.4 * window.innerHeight) / zoomOf(root) : 220;
      const side = Math.max(100, Math.min(one ? room : (room - 30) / 2, high, 480));
      cards.forEach(({ canvas, frame, word, card }, k) => {
        card.hidden = !kinds[k];
        if (!kinds[k]) return;
        const pen = canvas.getContext("2d");
        const cell = (kinds[k] === "made" ? n : 0) + q.image;
        pen.clearRect(0, 0, W, H);
        const [x, y] = [(cell % columns) * W, Math.floor(cell / columns) * H];
        if (sprite.naturalWidth) pen.drawImage(sprite, x, y, W, H, 0, 0, W, H);
        const [text, border, colour] = revealed ? WORDS[kinds[k]] : ["", "", COLOUR.ink];
        Object.assign(frame.style, { border, width: `${side}px`, cursor: one || classroom || revealed ? "" : "pointer" });
        word.textContent = text;
        inColour(word, colour);
        const place = one ? "The image" : k ? "Right image" : "Left image";
        canvas.setAttribute("aria-label", revealed ? `${place}: ${kinds[k]}` : place);
      });
      const names = one ? [["Real (R)", "Real (R)"], ["Made (M)", "Made (M)"]]
        : [["← Left", "The left one is real"], ["Right →", "The right one is real"]];
      picks.forEach((pick, k) => {
        pick.textContent = names[k][0];
        entitle(pick, names[k][1]);
        pick.hidden = !q || revealed || classroom;
      });
      [on.hidden, again.hidden, hands.hidden] = [!q || !revealed, Boolean(q), !q || revealed || !classroom];
      again.textContent = `Start again with seed ${s.seed + 1}`;
      entitle(again, again.textContent);
      const wanted = one ? ["hands for “real”", "", "people"] : ["hands for left", "hands for right", "people (if known)"];
      wanted.forEach((name, k) => { labels[k].firstChild.textContent = name; });
      labels[1].hidden = one;
      const here = [mode, classroom, s.seed, s.at].join();
      if (last !== here) [inputs[0].value, inputs[1].value, last] = ["", "", here];
      // When a focused control disappears, the focus moves to the control that replaces it.
      const follower = [on, inputs[0], again].find((control) => control.offsetParent) ?? stage;
      if (inside && held.offsetParent === null) follower.focus({ preventScroll: true });
      const keys = one ? "R for real, M for made" : "left arrow and right arrow";
      stage.setAttribute("aria-label", `${question.textContent} Keys: ${keys}; Enter continues.`);
      drawScore(bars, s);
      const said = verdict(s);
      bars.setAttribute("aria-label", `Shares from 0 to 100 %. ${said[0]}`);
      const stop = enough(s);
      lines.replaceChildren(element(stop === DONE ? "b" : "div", { textContent: stop }),
        ...said.map((line) => element("div", { textContent: line })));
      wipe.textContent = sure ? `Delete ${many(s.answers.length, "answer")}?` : "Clear";
      entitle(wipe, sure ? wipe.textContent : "Clear: delete all answers");
      Object.assign(root.dataset, { quiz: mode, classroom, seed: s.seed, at: s.at, revealed, answers: s.answers.length,
        over: !q, loaded: sprite.naturalWidth, score: JSON.stringify(score(s.rows, mode)) });
    };
  }

  return { view };
}

const definition = widget(build);
export default definition;
