"""What model_service compares with, (a): the usual service, FastAPI and a pickled scikit-learn pipeline.

``uvicorn with_fastapi:app``, in the folder of model.joblib. Its fields are checked as carefully as pydantic makes easy.
"""

from typing import Annotated

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()
model = joblib.load("model.joblib")


class Patient(BaseModel):
    """The thirteen features."""

    age: Annotated[float | None, Field(ge=18, le=110)] = None
    sex: Annotated[int | None, Field(ge=0, le=1)] = None
    cp: Annotated[int | None, Field(ge=1, le=4)] = None
    trestbps: Annotated[float | None, Field(ge=60, le=260)] = None
    chol: Annotated[float | None, Field(ge=80, le=700)] = None
    fbs: Annotated[int | None, Field(ge=0, le=1)] = None
    restecg: Annotated[int | None, Field(ge=0, le=2)] = None
    thalach: Annotated[float | None, Field(ge=50, le=240)] = None
    exang: Annotated[int | None, Field(ge=0, le=1)] = None
    oldpeak: Annotated[float | None, Field(ge=0, le=10)] = None
    slope: Annotated[int | None, Field(ge=1, le=3)] = None
    ca: Annotated[int | None, Field(ge=0, le=3)] = None
    thal: Annotated[int | None, Field(ge=3, le=7)] = None


@app.get("/ping")
def ping() -> dict[str, str]:
    """Say that it lives."""
    return {"status": "healthy"}


@app.post("/invocations")
def invocations(patients: list[Patient]) -> dict[str, list[dict[str, float]]]:
    """Answer a batch; one patient is a batch of one."""
    rows = np.array([list(patient.model_dump().values()) for patient in patients], dtype=float)
    return {"predictions": [{"probability": float(p)} for p in model.predict_proba(rows)[:, 1]]}
