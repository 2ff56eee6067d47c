// The charts: what was seen so far, and what is told from now on.
"use strict";

const SERIES = {
  depth: [
    ["due", "Due", "--chart-1"],
    ["leased", "In flight", "--chart-2"],
    ["retrying", "Retrying", "--chart-3"],
    ["scheduled", "Scheduled", "--chart-4"],
  ],
};
const KEPT = 300;
const charts = [];
const samples = JSON.parse(document.getElementById("samples").textContent);

// A colour of tokens.css as a canvas takes it: what the style sheet says is light-dark(…), which only styles understand.
const probe = document.getElementById("main").appendChild(document.createElement("i"));
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
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 5)] } },
    axes: [axis({ space: 80 }), axis({ size: 48, values: (_, ticks) => ticks.map(short) })],
    series: [
      { label: "Time", value: "{HH}:{mm}:{ss}" },
      ...names.map(([, name, token]) => ({
        label: name,
        stroke: colour(token),
        width: 1.75,
        points: { show: false },
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

function told(event) {
  samples.push(JSON.parse(event.detail.data));
  if (samples.length > KEPT) samples.shift();
  for (const { plot, names } of charts) plot.setData(columns(names));
}

drawAll();
document.getElementById("live").addEventListener("sample", told);
document.addEventListener("outbox:theme", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new ResizeObserver(() => {
  for (const { element, plot } of charts) plot.setSize(size(element));
}).observe(document.getElementById("main"));
