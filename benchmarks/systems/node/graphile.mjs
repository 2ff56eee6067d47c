#!/usr/bin/env node
/**
 * Graphile Worker; it deletes completed jobs.
 *
 * The settings are those of its own performance tests, with as many jobs at once as the local queue holds: jobs are
 * fetched, and completed, by the batch. The price is that a job of a killed worker waits for up to four hours.
 */

import pg from "pg";

import { drive, keyOf } from "./driver.mjs";

process.env.NO_LOG_SUCCESS = "1"; // read when the module is loaded; without it each job makes a line for the log
const { Logger, makeWorkerUtils, run } = await import("graphile-worker");

const TASK = "bench";
const AT_ONCE = 2000;
const CONNECTIONS = 10;
const WORKER = {
  concurrentJobs: AT_ONCE,
  localQueue: { size: AT_ONCE },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
  maxPoolSize: CONNECTIONS,
};
const EMPTY = "SELECT NOT EXISTS (SELECT FROM graphile_worker._private_jobs) AS empty";

const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});

await drive({
  name: "graphile-worker",
  package: "graphile-worker",
  history: false,
  bulk: { chunk: 5000, lanes: 2 },
  setup,
  connect,
  work,
});

async function setup(connectionString) {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  await utils.release();
}

async function connect(connectionString, clients) {
  const pgPool = await connected(connectionString, clients);
  const utils = await makeWorkerUtils({ pgPool, logger });
  return {
    enqueue: (job) => utils.addJob(TASK, job),
    enqueueMany: (jobs, keyed) => utils.addJobs(jobs.map(keyed ? withKey : withoutKey)),
    close: () => utils.release(),
  };
}

function withoutKey(payload) {
  return { identifier: TASK, payload };
}

function withKey(payload) {
  return { identifier: TASK, payload, jobKey: keyOf(payload) };
}

async function work(connectionString, { handle, settled }) {
  const pgPool = await connected(connectionString, CONNECTIONS, observed(settled));
  const options = { preset: { worker: WORKER }, pgPool, logger, noHandleSignals: true, taskList: { [TASK]: handle } };
  let runner;
  return {
    settings: `${AT_ONCE} jobs at once, local queue of ${AT_ONCE}, completions in batches without delay`,
    start: async () => {
      runner = await run(options);
    },
    isEmpty: async () => (await pgPool.query(EMPTY)).rows[0].empty,
    stop: () => runner.stop(),
  };
}

/** A client that tells how many jobs each statement of Graphile's has completed, once it has returned. */
function observed(settled) {
  return class extends pg.Client {
    query(statement, ...rest) {
      const answer = super.query(statement, ...rest);
      if (statement?.name?.startsWith("complete_job")) answer.then(({ rowCount }) => settled(rowCount));
      return answer;
    }
  };
}

/** A pool whose connections are made now, and not while the clock runs. */
async function connected(connectionString, max, Client = pg.Client) {
  const pool = new pg.Pool({ connectionString, max, Client, idleTimeoutMillis: 0 });
  pool.on("error", (error) => console.error(error));
  pool.on("connect", (client) => client.on("error", (error) => console.error(error)));
  const clients = await Promise.all(Array.from({ length: max }, () => pool.connect()));
  for (const client of clients) client.release();
  return pool;
}
