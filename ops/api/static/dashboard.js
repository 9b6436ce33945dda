// Keeps the page as it is on the server: its live part, its charts, and what a search finds.
"use strict";

const HOUR_SECONDS = 3600;
const LEAST_SECONDS = 300;
const SILENT_MS = 20_000;
const ASK_AGAIN_MS = 2_000;
const CHART_HEIGHT = 150;

const byId = (id) => document.getElementById(id);

// --- Its live part ---

const KEEP = {
  restoreFocus: true,
  callbacks: {
    // A chart is drawn here, and what a reader opened stays open.
    beforeNodeMorphed: (old) => !(old instanceof Element && old.hasAttribute("data-keep")),
    beforeAttributeUpdated: (name, node) => !(name === "open" && node instanceof HTMLDetailsElement),
  },
};

function say(text) {
  if (byId("link").textContent !== text) byId("link").textContent = text;
  document.body.classList.toggle("stale", text !== "");
}

let silence;

function heard() {
  say("");
  clearTimeout(silence);
  silence = setTimeout(() => say("The server has been silent: what you see is old."), SILENT_MS);
}

function listen() {
  const events = new EventSource("/dashboard/events");
  events.addEventListener("live", ({ data }) => {
    heard();
    Idiomorph.morph(byId("live"), JSON.parse(data), { morphStyle: "innerHTML", ...KEEP });
  });
  events.addEventListener("history", ({ data }) => begin(JSON.parse(data)));
  events.addEventListener("sample", ({ data }) => goOn(JSON.parse(data)));
  events.addEventListener("error", () => {
    say("The server does not answer: what you see is old.");
    // Refused, rather than broken off: the browser gives up then, so it is we who ask again.
    if (events.readyState === EventSource.CLOSED) askWhy();
  });
}

async function askWhy() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    // The session is over: the page that asks for a token tells so.
    if (answer.redirected || answer.status === 401 || answer.status === 403) location.reload();
    else setTimeout(listen, ASK_AGAIN_MS);
  } catch {
    setTimeout(askWhy, ASK_AGAIN_MS);
  }
}

// --- Its charts ---

const bytes = (value) => (value >= 1e9 ? `${value / 1e9} GB` : value >= 1e6 ? `${value / 1e6} MB` : `${value / 1e3} kB`);
const seconds = (value) => (value >= 120 ? `${Math.round(value / 6) / 10} min` : `${value} s`);
const CHARTS = [
  { id: "chart-lag", least: 10, words: (value) => value.toLocaleString("en") },
  { id: "chart-age", least: 5, words: seconds },
  { id: "chart-wal", least: 1e6, words: bytes },
];

let columns = [[], [], [], []];
let drawn = [];

const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name);

function chart({ id, least, words }, place) {
  const holder = byId(id);
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const plot = new uPlot(
    {
      width: holder.clientWidth,
      height: CHART_HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: span },
        y: { range: (_, low, high) => [0, Math.max(least, (high ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map(clock), space: 60, size: 30 },
        { ...axis, size: 64, values: (_, ticks) => ticks.map(words), space: 32 },
      ],
      series: [
        {},
        { stroke: colour("--link"), fill: colour("--link-ground"), width: 1.5, points: { show: false } },
      ],
    },
    [columns[0], columns[place + 1]],
    holder,
  );
  new ResizeObserver(() => plot.setSize({ width: holder.clientWidth, height: CHART_HEIGHT })).observe(holder);
  return plot;
}

// The last hour, or the few minutes that the server has been there for.
function span() {
  const now = Date.now() / 1000;
  return [Math.max(now - HOUR_SECONDS, Math.min(columns[0][0] ?? now, now - LEAST_SECONDS)), now];
}

function clock(at) {
  return new Date(at * 1000).toISOString().slice(11, 16);
}

function begin(history) {
  columns = history;
  if (drawn.length === 0 && byId(CHARTS[0].id)) drawn = CHARTS.map(chart);
  draw();
}

function goOn(sample) {
  sample.forEach((value, place) => columns[place].push(value));
  while (columns[0][0] < sample[0] - HOUR_SECONDS) columns.forEach((column) => column.shift());
  draw();
}

function draw() {
  drawn.forEach((plot, place) => plot.setData([columns[0], columns[place + 1]]));
}

// --- Its forms ---

let newest = 0;

async function find(event) {
  event.preventDefault();
  const number = ++newest;
  const query = new URLSearchParams(new FormData(event.target));
  const found = byId("found");
  found.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(`/dashboard/search?${query}`);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const part = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (number !== newest) return;
    found.replaceChildren(...part.body.childNodes);
    history.replaceState(null, "", `/?${query}#search`);
  } catch (error) {
    if (number === newest) found.textContent = `The search did not come through: ${error.message}.`;
  } finally {
    if (number === newest) found.removeAttribute("aria-busy");
  }
}

async function retry(event) {
  const form = event.target;
  if (!form.matches("#live form")) return;
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", redirect: "manual" });
    // It answers with a redirection, which is of use without this script only.
    if (answer.type !== "opaqueredirect") throw new Error((await answer.json()).detail);
    button.textContent = "Retrying";
  } catch (error) {
    button.disabled = false;
    say(`The retry was refused: ${error.message}.`);
  }
}

byId("search-form").addEventListener("submit", find);
document.addEventListener("submit", retry);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((plot) => plot.redraw()));
listen();
