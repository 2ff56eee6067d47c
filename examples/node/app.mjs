// Sign-up in Node with nothing but `pg`: in any language, an outbox is a function in your transaction.
import { createServer } from "node:http";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.OUTBOX_DATABASE_URL });
await pool.query(`CREATE TABLE IF NOT EXISTS users
  (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text UNIQUE NOT NULL, name text NOT NULL)`);

const ENQUEUE_VERIFICATION = `SELECT id FROM outbox.enqueue('email', $1, 'verify', $2,
  priority => 0, expires_in => interval '1 hour', idempotency_key => $3)`;
const ENQUEUE_WELCOME = `SELECT id FROM outbox.enqueue('email', $1, 'welcome', $2,
  priority => 8, delay => interval '10 minutes', idempotency_key => $3)`;

async function signUp({ email, name }) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const insert = "INSERT INTO users (email, name) VALUES ($1, $2) RETURNING id";
    const { id } = (await client.query(insert, [email, name])).rows[0];
    const link = `https://shop.example/verify/${id}`;
    await client.query(ENQUEUE_VERIFICATION, [email, { name, link }, `verify:${id}`]);
    await client.query(ENQUEUE_WELCOME, [email, { name }, `welcome:${id}`]);
    await client.query("COMMIT");
    return id;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}

const server = createServer(async (request, response) => {
  const answer = (status, body) => response.writeHead(status).end(JSON.stringify(body));
  if (request.method !== "POST" || request.url !== "/signup") return answer(404, {});
  let body = "";
  for await (const part of request) body += part;
  try {
    answer(201, { id: Number(await signUp(JSON.parse(body))) });
  } catch (error) {
    const taken = error.code === "23505";
    if (!taken) console.error(error);
    answer(taken ? 409 : 500, taken ? { detail: "this address has an account" } : {});
  }
});
server.listen(Number(process.env.PORT), "127.0.0.1");
