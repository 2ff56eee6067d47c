"""Sign-up with FastAPI and SQLAlchemy's AsyncSession: the user and their two emails commit together, or not at all."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, EmailStr
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import outbox

engine = create_async_engine(make_url(os.environ["OUTBOX_DATABASE_URL"]).set(drivername="postgresql+psycopg"))
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


class SignUp(BaseModel):
    email: EmailStr
    name: str


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


@app.post("/signup", status_code=201)
async def sign_up(form: SignUp, session: Annotated[AsyncSession, Depends(session)]) -> dict[str, int]:
    user = User(email=form.email, name=form.name)
    session.add(user)
    try:
        await session.flush()  # for the user's id
    except IntegrityError:
        raise HTTPException(409, "this address has an account") from None
    await outbox.aenqueue(
        session,
        channel="email",
        recipient=user.email,
        template="verify",
        payload={"name": user.name, "link": f"https://shop.example/verify/{user.id}"},
        priority="urgent",
        expires_at=timedelta(hours=1),
        idempotency_key=f"verify:{user.id}",
    )
    await outbox.aenqueue(
        session,
        channel="email",
        recipient=user.email,
        template="welcome",
        payload={"name": user.name},
        priority="bulk",
        run_at=timedelta(minutes=10),
        idempotency_key=f"welcome:{user.id}",
    )
    await session.commit()
    return {"id": user.id}
