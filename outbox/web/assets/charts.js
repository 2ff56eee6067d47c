// The charts: what was seen so far, and what is told from now on.
"use strict";

const SERIES = {
  pace: [
    ["sent", "Sent", "--chart-2"],
    ["failed", "Failed", "--chart-bad"],
  ],
  depth: [
    ["due", "Due", "--chart-1"],
    ["leased", "In flight", "--chart-3"],
  ],
};
const charts = [];
const told = document.getElementById("samples");
const past = Number(told.dataset.past);
const samples = JSON.parse(told.textContent);

// A colour of tokens.css as a canvas takes it: what the style sheet says is light-dark(…), which only styles understand.
const probe = document.body.appendChild(document.createElement("i"));
probe.hidden = true;

function colour(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

const FONT = getComputedStyle(document.body).fontFamily;

function columns(names) {
  return [samples.map((each) => each.at), ...names.map(([key]) => samples.map((each) => each[key] ?? null))];
}

function short(number) {
  if (number >= 1e6) return `${+(number / 1e6).toFixed(1)}M`;
  if (number >= 1e4) return `${+(number / 1e3).toFixed(1)}k`;
  return String(+number.toFixed(2));
}

const days = new Intl.DateTimeFormat("en", { month: "short", day: "numeric" });
const hours = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function moment(seconds) {
  return (past > 86400 ? days : hours).format(seconds * 1000);
}

function size(element) {
  return { width: Math.max(element.clientWidth - 20, 100), height: 200 };
}

function axis(extra) {
  return {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: `11px ${FONT}`,
    ...extra,
  };
}

function draw(element) {
  const names = SERIES[element.dataset.chart];
  const options = {
    ...size(element),
    cursor: { points: { size: 6 } },
    legend: { live: true },
    padding: [12, 14, 0, 0],
    scales: { x: { range: (_, low, high) => [Math.min(low ?? Infinity, Date.now() / 1000 - past), Math.max(high ?? 0, Date.now() / 1000)] }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 5)] } },
    axes: [axis({ space: 80, values: (_, ticks) => ticks.map(moment) }), axis({ size: 48, values: (_, ticks) => ticks.map(short) })],
    series: [
      { label: "Time", value: past > 86400 ? "{YYYY}-{MM}-{DD} {HH}:{mm}" : "{HH}:{mm}:{ss}" },
      ...names.map(([, name, token]) => ({
        label: name,
        stroke: colour(token),
        width: 1.75,
        spanGaps: true,
        points: { show: false },
        fill: colour(token).replace("rgb(", "rgba(").replace(")", ", 0.1)"),
        value: (_, number) => (number == null ? "–" : number.toLocaleString("en")),
      })),
    ],
  };
  return { element, names, plot: new uPlot(options, columns(names), element) };
}

function drawAll() {
  for (const { plot } of charts.splice(0)) plot.destroy();
  for (const element of document.querySelectorAll("[data-chart]")) charts.push(draw(element));
}

function take(event) {
  if (told.dataset.follow !== "yes") return;
  const sample = JSON.parse(event.detail.data);
  samples.push(sample);
  while (samples[0].at < sample.at - past) samples.shift();
  for (const { plot, names } of charts) plot.setData(columns(names));
}

drawAll();
document.getElementById("live")?.addEventListener("sample", take);
document.addEventListener("outbox:theme", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new ResizeObserver(() => {
  for (const { element, plot } of charts) plot.setSize(size(element));
}).observe(document.body);
// A form that was sent without loading the page brings a new place for them.
document.addEventListener("htmx:after:swap", () => {
  if (charts.some(({ element }) => !element.isConnected)) drawAll();
});
