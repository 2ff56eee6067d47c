"""Sign-up with Flask and SQLAlchemy: the user and their two emails commit together, or not at all."""

import os
from datetime import timedelta

from flask import Flask, request
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import outbox

app = Flask(__name__)
engine = create_engine(make_url(os.environ["OUTBOX_DATABASE_URL"]).set(drivername="postgresql+psycopg"))


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


Base.metadata.create_all(engine)


@app.post("/signup")
def sign_up() -> tuple[dict[str, object], int]:
    form = request.get_json()
    try:
        with Session(engine) as session, session.begin():
            user = User(email=form["email"], name=form["name"])
            session.add(user)
            session.flush()  # for the user's id
            outbox.enqueue(
                session,
                channel="email",
                recipient=user.email,
                template="verify",
                payload={"name": user.name, "link": f"https://shop.example/verify/{user.id}"},
                priority="urgent",
                expires_at=timedelta(hours=1),
                idempotency_key=f"verify:{user.id}",
            )
            outbox.enqueue(
                session,
                channel="email",
                recipient=user.email,
                template="welcome",
                payload={"name": user.name},
                priority="bulk",
                run_at=timedelta(minutes=10),
                idempotency_key=f"welcome:{user.id}",
            )
            identity = user.id
    except IntegrityError:
        return {"detail": "this address has an account"}, 409
    return {"id": identity}, 201
