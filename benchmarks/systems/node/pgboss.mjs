#!/usr/bin/env node
/**
 * pg-boss, with NOTIFY, which low latency needs; it keeps completed jobs for seven days.
 *
 * A queue is worked off with fetch() and complete(), by the batch, in several loops: its work() makes abort signals for
 * each job, and is a third slower. For low latency it is work(), which listens.
 */

import { setTimeout as sleep } from "node:timers/promises";

import { PgBoss } from "pg-boss";

import { drive, keyOf } from "./driver.mjs";

const QUEUE = "bench";
const BATCH = 1000;
const LOOPS = 4;
const EMPTY_DELAY = 20; // ms until the next fetch, after one that found nothing
const LISTENING = {
  batchSize: 100,
  localConcurrency: 2,
  burstWhenBatchFull: true,
  pollingIntervalSeconds: 0.5, // the least that it takes
  notifyPollingIntervalSeconds: 0.5,
};
const KEPT_SECONDS = 7 * 24 * 3600; // a key is unique for as long, as a throttled job's is
const EMPTY = "SELECT NOT EXISTS (SELECT FROM pgboss.job WHERE name = $1 AND state < 'completed') AS empty";

await drive({
  name: "pg-boss",
  package: "pg-boss",
  history: true,
  bulk: { chunk: 5000, lanes: 2 },
  setup,
  connect,
  work,
});

async function setup(connectionString, { quiet }) {
  const boss = await opened(connectionString, { supervise: false });
  await boss.createQueue(QUEUE, { notify: !quiet });
  await boss.stop();
}

async function connect(connectionString, clients) {
  const boss = await opened(connectionString, { max: clients, supervise: false, migrate: false });
  return {
    enqueue: (job) => boss.send(QUEUE, job),
    enqueueMany: (jobs, keyed) => boss.insert(QUEUE, jobs.map(keyed ? withKey : withoutKey)),
    close: () => boss.stop({ graceful: false }),
  };
}

function withoutKey(data) {
  return { data };
}

function withKey(data) {
  return { data, singletonKey: keyOf(data), singletonSeconds: KEPT_SECONDS };
}

async function work(connectionString, { handle, settled, live }) {
  const boss = await opened(connectionString, { max: LOOPS + 2, migrate: false });
  const handleAll = (jobs) => Promise.all(jobs.map(({ data }) => handle(data)));
  const listen = () => boss.work(QUEUE, LISTENING, handleAll);
  const loop = async () => {
    for (;;) await workBatch(boss, handleAll, settled);
  };
  const { batchSize, localConcurrency } = LISTENING;
  return {
    settings: live
      ? `NOTIFY, ${localConcurrency} workers, batches of ${batchSize}`
      : `${LOOPS} loops of fetch and complete, batches of ${BATCH}`,
    start: live ? listen : async () => void Array.from({ length: LOOPS }, loop),
    isEmpty: async () => (await boss.getDb().executeSql(EMPTY, [QUEUE])).rows[0].empty,
    stop: async () => {}, // the process ends, and nothing is under way
  };
}

async function workBatch(boss, handleAll, settled) {
  const jobs = await boss.fetch(QUEUE, { batchSize: BATCH });
  if (jobs.length === 0) return sleep(EMPTY_DELAY);
  await handleAll(jobs);
  const ids = jobs.map(({ id }) => id);
  await boss.complete(QUEUE, ids);
  settled(ids.length);
}

/** An instance without the scheduler of cron jobs, which nothing here needs. */
async function opened(connectionString, options) {
  const boss = new PgBoss({ connectionString, schedule: false, useListenNotify: true, ...options });
  boss.on("error", (error) => console.error(error));
  boss.on("warning", (warning) => console.error(warning));
  return boss.start();
}
