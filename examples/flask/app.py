"""A model behind Flask, as it is on many laptops: one page, one question, nothing that knows where it runs."""

from __future__ import annotations

from flask import Flask, request

app = Flask(__name__)


def price(rooms: float, metres: float) -> float:
    """What a flat costs, by a model that was fitted by hand."""
    return round(20_000 + 9_000 * rooms + 2_400 * metres, 2)


@app.get("/")
def home() -> str:
    """The page."""
    return "What does a flat cost? Ask with POST /predict and {'rooms': 3, 'metres': 80}.\n"


@app.post("/predict")
def predict() -> dict[str, float]:
    """The answer to one question."""
    asked = request.get_json()
    return {"price": price(float(asked["rooms"]), float(asked["metres"]))}


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)  # noqa: S104 - a container is reached from outside
