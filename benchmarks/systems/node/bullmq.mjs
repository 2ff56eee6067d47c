#!/usr/bin/env node
/**
 * BullMQ, on Redis or, by a postgresql:// URL, on the PostgreSQL that it takes since version 6; completed jobs go.
 *
 * How durable Redis is, is for whoever starts it to say: appendfsync always is like a commit of PostgreSQL's, everysec
 * may lose a second.
 */

import { Queue, Worker, createPostgresBackend } from "bullmq";
import { Redis } from "ioredis";

import { drive, keyOf } from "./driver.mjs";

const QUEUE = "bench";
const CONCURRENCY = 200;
const SLEEPING_CONCURRENCY = 2000;

await drive({
  name: "bullmq",
  package: "bullmq",
  history: false,
  bulk: { chunk: 1000, lanes: 2 },
  setup,
  connect,
  work,
});

async function setup(url) {
  const queue = new Queue(QUEUE, ...connection(url, { migrate: true }));
  await queue.waitUntilReady();
  await queue.close();
}

async function connect(url, clients) {
  const queues = Array.from({ length: clients }, () => new Queue(QUEUE, ...connection(url, { max: 1 })));
  await Promise.all(queues.map((queue) => queue.waitUntilReady()));
  let turn = 0;
  const next = () => queues[turn++ % clients];
  return {
    enqueue: (job) => next().add(QUEUE, job),
    enqueueMany: (jobs, keyed) => next().addBulk(jobs.map(keyed ? withKey : withoutKey)),
    close: () => Promise.all(queues.map((queue) => queue.close())),
  };
}

function withoutKey(data) {
  return { name: QUEUE, data };
}

function withKey(data) {
  return { name: QUEUE, data, opts: { jobId: keyOf(data) } };
}

async function work(url, { handle, settled, sleepMs }) {
  const concurrency = sleepMs ? SLEEPING_CONCURRENCY : CONCURRENCY;
  const [options, backend] = connection(url, { max: 10 });
  const removal = { removeOnComplete: { count: 0 } };
  const worker = new Worker(QUEUE, ({ data }) => handle(data), { ...options, ...removal, concurrency, autorun: false }, backend);
  worker.on("completed", () => settled(1)); // its completion has been written
  worker.on("error", (error) => console.error(error));
  const queue = new Queue(QUEUE, ...connection(url, { max: 1 }));
  await Promise.all([worker.waitUntilReady(), queue.waitUntilReady()]);
  return {
    settings: `concurrency ${concurrency}`,
    start: async () => void worker.run(),
    isEmpty: async () => {
      const counts = await queue.getJobCounts("wait", "prioritized", "delayed", "active");
      return Object.values(counts).every((count) => count === 0);
    },
    stop: () => worker.close(),
  };
}

/** The options of a Queue or Worker with a connection of its own, and for PostgreSQL what makes its backend. */
function connection(url, pool) {
  if (url.startsWith("redis:")) return [{ connection: new Redis(url, { maxRetriesPerRequest: null }) }];
  return [{ connection: { connectionString: url, ...pool } }, createPostgresBackend];
}
