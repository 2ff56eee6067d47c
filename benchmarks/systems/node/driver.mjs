/**
 * What the drivers of the Node systems have in common: arguments, actions, clocks, CPU seconds, result lines.
 *
 * A driver hands `drive` its system: { name, package, history, bulk, setup, connect, work }.
 *   bulk                          { chunk, lanes }: how many jobs a call takes, how many calls are under way at once
 *   setup(url, { quiet })         creates the schema
 *   connect(url, clients)         returns { enqueue(job), enqueueMany(jobs, keyed), close() }, `clients` connections wide
 *   work(url, { handle, settled, sleepMs, live })
 *                                 returns { settings, start(), isEmpty(), stop() }, connected but not yet started;
 *                                 it awaits handle(job) for each job and calls settled(count) when the statement
 *                                 that completed so many has returned; `sleepMs` is how long a handler sleeps, `live`
 *                                 asks for low latency
 */

import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

const ABSENT = 77; // the exit status of what cannot be run here
const OLDEST_NODE = 22; // of Graphile Worker 0.18 and pg-boss 12
const TEXT = "x".repeat(240);
const KEYED_RUN = `${process.pid}-${Date.now()}`;
const CHECK = 10; // ms between looks at whether all is done
const IDLE = 0.05; // seconds without a job until the queue is asked whether it is empty: to ask is work for the server
const LATE = 0.05; // seconds behind schedule from which a produced job counts as late
const PRODUCER_CONNECTIONS = 8; // so that one slow commit does not hold up the schedule

const OPTIONS = {
  url: { type: "string" },
  clients: { type: "string", default: "1" },
  seconds: { type: "string" },
  count: { type: "string" },
  keyed: { type: "boolean", default: false },
  "sleep-ms": { type: "string", default: "0" },
  rate: { type: "string" },
  batch: { type: "string", default: "1" },
  out: { type: "string" },
  quiet: { type: "boolean", default: false }, // setup: without the announcement of each job, where that is a choice
};

const ACTIONS = { version, setup, enqueue, bulk, work, consume, produce };

/** Runs the action of the command line against the system, then ends the process. */
export async function drive(system) {
  const [name, ...rest] = process.argv.slice(2);
  const action = ACTIONS[name];
  if (!action) {
    throw new Error(`usage: ${system.name} ${Object.keys(ACTIONS).join("|")} --url URL [options]`);
  }
  if (parseInt(process.versions.node) < OLDEST_NODE) {
    print({ absent: `needs Node ${OLDEST_NODE} or newer, and this is ${process.versions.node}` });
    process.exit(ABSENT);
  }
  const { values } = parseArgs({ args: rest, options: OPTIONS });
  print(await action(system, values));
  process.exit(0); // a pool that lingers is no reason to
}

/** CLOCK_MONOTONIC in seconds: the same clock for every process of the machine. */
export function monotonic() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds + nanoseconds / 1e9;
}

/** The unique key of a job in a run of `bulk --keyed`. */
export function keyOf(job) {
  return `${KEYED_RUN}-${job.n}`;
}

function version(system) {
  const manifest = new URL(`node_modules/${system.package}/package.json`, import.meta.url);
  const { version: number } = JSON.parse(readFileSync(manifest, "utf8"));
  return { system: system.name, version: number, history: system.history, runtime: `node ${process.versions.node}` };
}

async function setup(system, { url, quiet }) {
  await system.setup(required(url, "url"), { quiet });
  return { ok: true };
}

async function enqueue(system, { url, clients, seconds }) {
  const count = number(clients, "clients");
  const connection = await system.connect(required(url, "url"), count);
  const started = monotonic();
  const deadline = started + number(seconds, "seconds");
  let n = 0;
  const client = async () => {
    while (monotonic() < deadline) await connection.enqueue(job(n++));
  };
  await Promise.all(Array.from({ length: count }, client));
  const taken = monotonic() - started;
  await connection.close();
  return { jobs: n, seconds: taken, cpu: cpu() };
}

async function bulk(system, { url, count, keyed }) {
  const { chunk, lanes } = system.bulk;
  const total = number(count, "count");
  const connection = await system.connect(required(url, "url"), lanes);
  const started = monotonic();
  let n = 0;
  const lane = async () => {
    while (n < total) {
      const first = n;
      n = Math.min(first + chunk, total);
      await connection.enqueueMany(jobs(first, n - first), keyed);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const taken = monotonic() - started;
  await connection.close();
  return { jobs: total, seconds: taken, cpu: cpu(), settings: `chunks of ${chunk}, ${lanes} at once` };
}

async function work(system, { url, "sleep-ms": ms }) {
  const sleepMs = number(ms, "sleep-ms");
  const tally = { started: 0, settled: 0, first: null, last: null };
  const handle = async () => {
    if (tally.started++ === 0) tally.first = monotonic();
    if (sleepMs) await sleep(sleepMs);
  };
  const settled = (count) => {
    tally.settled += count;
    tally.last = monotonic();
  };
  const worker = await system.work(required(url, "url"), { handle, settled, sleepMs, live: false });
  await go();
  await worker.start();
  await drained(worker, tally);
  const result = { jobs: tally.started, first: tally.first, last: tally.last, cpu: cpu(), settings: worker.settings };
  await worker.stop();
  return result;
}

/** Returns when nothing is under way here and the queue holds no job, neither waiting nor claimed by another. */
async function drained(worker, tally) {
  let seen = 0;
  let since = monotonic();
  for (;;) {
    await sleep(CHECK);
    if (tally.settled !== seen || tally.started !== seen) {
      seen = tally.settled;
      since = monotonic();
    } else if (monotonic() - since > IDLE && (await worker.isEmpty())) return;
  }
}

async function consume(system, { url, seconds, out }) {
  required(out, "out");
  const numbers = []; // two flat arrays: a million pairs would be the collector's work, and the rival's time
  const starts = [];
  const handle = async ({ n }) => {
    numbers.push(n);
    starts.push(monotonic());
  };
  const worker = await system.work(required(url, "url"), { handle, settled: () => {}, sleepMs: 0, live: true });
  await go();
  await worker.start();
  await sleep(number(seconds, "seconds") * 1000);
  const used = cpu();
  await worker.stop();
  write(out, numbers, starts);
  return { jobs: numbers.length, cpu: used, settings: worker.settings };
}

async function produce(system, { url, rate, seconds, batch, out }) {
  required(out, "out");
  const [perSecond, size] = [number(rate, "rate"), number(batch, "batch")];
  const total = Math.round(perSecond * number(seconds, "seconds"));
  const connection = await system.connect(required(url, "url"), PRODUCER_CONNECTIONS);
  const commits = new Array(total);
  const underWay = new Set();
  const started = monotonic();
  let late = 0;
  for (let n = 0; n < total; n += size) {
    const due = started + n / perSecond;
    const early = due - monotonic();
    if (early > 0) await sleep(early * 1000);
    if (underWay.size === PRODUCER_CONNECTIONS) await Promise.race(underWay);
    const length = Math.min(size, total - n);
    if (monotonic() - due > LATE) late += length;
    const task = enqueueAt(connection, n, length, commits).finally(() => underWay.delete(task));
    underWay.add(task);
  }
  await Promise.all(underWay);
  const used = cpu();
  await connection.close();
  write(out, [...commits.keys()], commits);
  return { jobs: total, late, cpu: used };
}

async function enqueueAt(connection, n, length, commits) {
  if (length === 1) await connection.enqueue(job(n));
  else await connection.enqueueMany(jobs(n, length), false);
  commits.fill(monotonic(), n, n + length);
}

function job(n) {
  return { n, name: "Ada Lovelace", text: TEXT };
}

function jobs(first, length) {
  return Array.from({ length }, (_, index) => job(first + index));
}

async function go() {
  print({ ready: true });
  await once(process.stdin, "data");
  process.stdin.pause();
}

/** CPU seconds, user and system, of this process from its start. */
function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function write(out, numbers, seconds) {
  const pairs = numbers.map((n, index) => `[${n},${seconds[index]}]`);
  writeFileSync(out, `[${pairs.join(",")}]`);
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function required(value, option) {
  if (value === undefined) throw new Error(`--${option} is required`);
  return value;
}

function number(text, option) {
  const value = Number(required(text, option));
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${option} must be a number of zero or more, not ${text}`);
  return value;
}
