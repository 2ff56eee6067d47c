// What every page can do: keys, colours, and saying whether what is shown is live.
"use strict";

const THEMES = ["", "light", "dark"];
const NAMES = { "": "as the system", light: "light", dark: "dark" };
let goes = 0;

function theme() {
  return document.documentElement.dataset.theme || "";
}

function label() {
  const words = document.querySelector("[data-theme-label]");
  if (words) words.textContent = `Colours: ${NAMES[theme()]}`;
}

// Not by scrollIntoView(), after which the Tab key begins there, and no more at the top of the page.
function showWhereWeAre() {
  const here = document.querySelector("nav [aria-current]");
  const bar = here?.closest("nav");
  if (!bar) return;
  const [link, room] = [here.getBoundingClientRect(), bar.getBoundingClientRect()];
  bar.scrollLeft += link.left + link.width / 2 - room.left - room.width / 2;
  if (link.top < room.top || link.bottom > room.bottom) bar.scrollTop += link.top - room.top;
}

function switchTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  document.cookie = `outbox-theme=${next}; Path=/; Max-Age=${next ? 31536000 : 0}; SameSite=Lax`;
  label();
  document.dispatchEvent(new Event("outbox:theme"));
}

function openKeys() {
  const dialog = document.getElementById("keys");
  if (dialog && !dialog.open) dialog.showModal();
}

// The links of rows, for j and k.
function move(step) {
  const links = [...document.querySelectorAll("[data-rows] tbody th a")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next].focus();
}

function go(key) {
  const link = document.querySelector(`nav [data-key="${CSS.escape(key)}"]`);
  if (link) link.click();
}

function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const after = Date.now() - goes < 1500;
  goes = 0;
  if (after && event.key.length === 1) {
    event.preventDefault();
    go(event.key);
    return;
  }
  const acts = {
    "/": () => document.getElementById("find")?.focus(),
    "?": openKeys,
    g: () => { goes = Date.now(); },
    j: () => move(1),
    k: () => move(-1),
    t: switchTheme,
  };
  if (acts[event.key]) {
    event.preventDefault();
    acts[event.key]();
  }
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-switch]")) switchTheme();
  if (event.target.closest("[data-keys-open]")) openKeys();
});

function live(works) {
  const sign = document.querySelector("[data-live]");
  if (!sign || sign.classList.contains("lost") === !works) return;
  sign.classList.toggle("lost", !works);
  sign.querySelector("[data-live-words]").textContent = works ? "Live" : "Not live: trying again";
}

// What a form was answered with: seen, and read aloud; a refusal takes the place of the page, as without scripts.
document.addEventListener("htmx:response:error", (event) => {
  const { sourceElement, text } = event.detail.ctx;
  if (!sourceElement?.matches("form")) return;
  const page = new DOMParser().parseFromString(text, "text/html").getElementById("main");
  if (page) document.getElementById("main").replaceWith(document.adoptNode(page));
});
document.addEventListener("htmx:after:swap", () => {
  const said = document.querySelector("main > .flash, main > .notice[role=alert]");
  if (!said || said.dataset.seen) return;
  said.dataset.seen = "yes";
  document.getElementById("main").focus({ preventScroll: true });
  said.scrollIntoView({ block: "nearest" });
});

document.addEventListener("htmx:sse:after:message", () => live(true));
document.addEventListener("htmx:sse:error", () => live(false));
label();
showWhereWeAre();
