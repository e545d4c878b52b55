// Functions that the theme lacks: explanations of terms, keyboard access, search in pages opened from disk, and
// printing.

// One box for all explanations. The box is shown while a term has the pointer or the focus, and Escape hides it.
const tip = Object.assign(document.createElement("div"), { id: "tip", role: "tooltip", hidden: true });
document.body.append(tip);

function explain(event) {
  const word = event.target.closest?.("[data-tip]");
  if (!word) return;
  tip.textContent = word.dataset.tip;
  tip.hidden = false;
  word.setAttribute("aria-describedby", "tip");
  const at = word.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left), innerWidth - tip.offsetWidth - 8);
  const above = at.bottom + tip.offsetHeight + 12 > innerHeight;
  tip.style.left = `${left}px`;
  tip.style.top = `${above ? at.top - tip.offsetHeight - 4 : at.bottom + 4}px`;
}

function leave(event) {
  if (event.relatedTarget === tip) return;            // the pointer may rest on the explanation itself
  tip.hidden = true;
  document.querySelector("[aria-describedby=tip]")?.removeAttribute("aria-describedby");
}

for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, explain);
for (const kind of ["mouseout", "focusout"]) document.addEventListener(kind, leave);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") leave(event); });
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

// A page opened from disk cannot read other pages, so search shows no excerpts.
if (location.protocol === "file:" && window.DOCUMENTATION_OPTIONS) DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// The theme's icons that open the tables of contents are labels, which the Tab key would skip.
for (const icon of document.querySelectorAll("label.toc-overlay-icon, label.nav-overlay-icon")) {
  const opens = icon.classList.contains("toc-overlay-icon") ? "On this page" : "All pages";
  Object.assign(icon, { tabIndex: 0, role: "button", ariaLabel: opens });
  icon.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    icon.click();
  });
}

// On a phone the text in a figure is small. A tap opens the figure alone in full size, where the reader can zoom in.
for (const picture of document.querySelectorAll("article .cell_output img")) {
  if (picture.closest("[data-course]")) continue;     // a widget's picture, which the widget replaces
  const link = Object.assign(document.createElement("a"), { href: picture.src, className: "whole" });
  link.setAttribute("aria-label", `Full size: ${picture.alt}`);
  picture.replaceWith(link);
  link.append(picture);
}

// Makes everything that scrolls sideways scrollable with the keyboard.
function reachable() {
  for (const e of document.querySelectorAll("article :is(pre, .table-wrapper, math, .math, .output)")) {
    if (e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX !== "visible") e.tabIndex = 0;
    else e.removeAttribute("tabindex");
  }
}
addEventListener("load", reachable);
addEventListener("resize", reachable);
for (const box of document.querySelectorAll("details")) box.addEventListener("toggle", reachable);
addEventListener("beforeprint", () => document.querySelectorAll("details.hide").forEach((e) => { e.open = true; }));
