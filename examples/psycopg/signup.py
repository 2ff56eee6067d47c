"""Sign-up with nothing but psycopg: `python signup.py ada@example.org Ada`."""

import os
import sys
from datetime import timedelta

import psycopg

import outbox


def sign_up(conn: psycopg.Connection, email: str, name: str) -> int:
    """Add the user and their two emails, in the transaction that `conn` is in; returns the user's id."""
    row = conn.execute("INSERT INTO users (email, name) VALUES (%s, %s) RETURNING id", [email, name]).fetchone()
    assert row is not None
    (user,) = row
    outbox.enqueue(
        conn,
        channel="email",
        recipient=email,
        template="verify",
        payload={"name": name, "link": f"https://shop.example/verify/{user}"},
        priority="urgent",
        expires_at=timedelta(hours=1),
        idempotency_key=f"verify:{user}",
    )
    outbox.enqueue(
        conn,
        channel="email",
        recipient=email,
        template="welcome",
        payload={"name": name},
        priority="bulk",
        run_at=timedelta(minutes=10),
        idempotency_key=f"welcome:{user}",
    )
    return int(user)


def main() -> None:
    email, name = sys.argv[1:]
    with psycopg.connect(os.environ["OUTBOX_DATABASE_URL"]) as conn:
        conn.execute(
            "CREATE TABLE IF NOT EXISTS users"
            " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text UNIQUE NOT NULL, name text NOT NULL)"
        )
        try:
            with conn.transaction():
                print(f"user {sign_up(conn, email, name)}")
        except psycopg.errors.UniqueViolation:
            sys.exit("this address has an account")


if __name__ == "__main__":
    main()
