"""What model_service compares with, (b): the same pickled pipeline as a BentoML service, with its usual settings.

``bentoml serve with_bentoml:Heart``, in the folder of model.joblib.
"""

import bentoml
import joblib
import numpy as np

NAMES = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"]


@bentoml.service
class Heart:
    """The model, loaded once a worker."""

    def __init__(self) -> None:
        self.model = joblib.load("model.joblib")

    @bentoml.api(route="/invocations")
    def invocations(self, patients: list[dict[str, float | None]]) -> dict[str, list[dict[str, float]]]:
        """Answer a batch; one patient is a batch of one."""
        rows = np.array([[patient.get(name) for name in NAMES] for patient in patients], dtype=float)
        return {"predictions": [{"probability": float(p)} for p in self.model.predict_proba(rows)[:, 1]]}
