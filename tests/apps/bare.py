"""The least that could store a vote, to compare with: one insert behind FastAPI and SQLAlchemy."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import Float, String, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from apps.study.database import Database


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "bare_votes"
    id: Mapped[int] = mapped_column(primary_key=True)
    trial: Mapped[str] = mapped_column(String(32), unique=True)
    choice: Mapped[str] = mapped_column(String(64))
    seconds: Mapped[float] = mapped_column(Float)


class Body(BaseModel):
    token: str
    trial: str
    choice: str
    seconds: float


def create(url: str) -> FastAPI:
    """An application with the same database settings as the study's."""
    database = Database.open(url)
    Base.metadata.create_all(database.engine)
    app = FastAPI()

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/votes")
    def vote(body: Body) -> dict[str, bool]:
        with database.session() as session:
            values = {"trial": body.trial, "choice": body.choice, "seconds": body.seconds}
            session.execute(insert(Row).values(**values))
        return {"done": False}

    return app


if __name__ == "__main__":
    uvicorn.run(create(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
