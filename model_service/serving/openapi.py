"""The OpenAPI 3.1 description of the JSON routes. pydantic makes the schemas; the limits come from the model's card.

No request is checked here. records.py does that, without pydantic, which would take a third of an answer's time. The
tests check that both have the same limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import models_json_schema

from serving.api import CSV, JSON
from serving.card import Card, Feature, Measure, Probability, Sha256, Task, Text
from serving.records import MOST_PROBLEMS, MOST_RECORDS


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Predicted(_Sent):
    low: Annotated[float, Field(description="90 % of the truth for answers like this lies above …")]
    high: Annotated[float, Field(description="… and below")]
    if_known: Annotated[
        tuple[float, float],
        Field(description="were the unknown known, the answer would lie between these four times in five"),
    ]
    unknown: Annotated[list[str], Field(description="the features that were not given")]


class ProbabilityPredicted(_Predicted):
    """The model's answer to one record."""

    probability: Annotated[Probability, Field(description="of the target")]
    target: Annotated[Literal[0, 1], Field(description="1 from the card's threshold on")]


class ClassPredicted(_Predicted):
    """The model's answer to one record."""

    class_: Annotated[str, Field(alias="class", description="the most probable one")]
    probability: Annotated[Probability, Field(description="of this class")]
    probabilities: Annotated[dict[str, Probability], Field(description="of each class")]


class ValuePredicted(_Predicted):
    """The model's answer to one record."""

    value: Annotated[float, Field(description="in the card's unit")]


PREDICTED: Mapping[Task, type[BaseModel]] = {
    "binary": ProbabilityPredicted,
    "multiclass": ClassPredicted,
    "regression": ValuePredicted,
}


class Error(_Sent):
    """An error message: what went wrong, and what to do next."""

    error: str


class Problem(_Sent):
    """A problem with a value, or (without ``field``) with a whole record."""

    record: Annotated[int, Field(ge=0, description="which one, counted from 0")]
    field: str = ""
    value: Annotated[str, Field(description="what was sent, as text, shortened")] = ""
    allowed: Annotated[str, Field(description="what may be sent, in words")] = ""
    message: str


class Refusal(Error):  # noqa: N818 - an answer, not an exception
    """No record was answered. Each of these problems has to be corrected."""

    problems: Annotated[list[Problem], Field(max_length=MOST_PROBLEMS)]
    more: Annotated[int, Field(ge=0, description="how many problems there are besides")]


class Healthy(_Sent):
    """The model answers."""

    status: Literal["healthy"]
    release: str


class Version(_Sent):
    """The origin of the model. A text that is unknown is empty."""

    name: str
    release: str
    commit: str
    digest: str
    kind: str
    trained_at: AwareDatetime
    model_sha256: Sha256
    data_sha256: Sha256
    metrics: Annotated[dict[str, float], Field(description="on held-out rows; the card has the intervals")]


def record_model(card: Card) -> type[BaseModel]:
    """A record of this card's features as a pydantic model. A feature may be absent or null, but not out of range."""
    fields: dict[str, Any] = {feature.name: (_typed(feature) | None, None) for feature in card.features}
    about = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return create_model("Record", __config__=about, __doc__="What is known of one case; at least one value.", **fields)


def predictions_model(card: Card) -> type[BaseModel]:
    """The answers of this card's model as a pydantic model."""
    listed: Any = list.__class_getitem__(PREDICTED[card.task])
    about = "One prediction for each record, in their order."
    return create_model("Predictions", __base__=_Sent, __doc__=about, predictions=(listed, ...))


def _typed(feature: Feature) -> Any:
    if isinstance(feature, Text):
        return Annotated[str, Field(min_length=1, max_length=feature.longest, description=feature.allowed)]
    if isinstance(feature, Measure):
        return Annotated[float, Field(ge=feature.low, le=feature.high, description=feature.allowed)]
    return Annotated[Literal[feature.codes], Field(description=feature.allowed)]


def describe(card: Card, release: str) -> dict[str, Any]:
    """The whole description."""
    models = (record_model(card), predictions_model(card), Error, Refusal, Healthy, Version, Card)
    template = "#/components/schemas/{model}"
    # "serialization": fields that an answer always has are required
    _, found = models_json_schema([(model, "serialization") for model in models], ref_template=template)
    schemas = found["$defs"]
    schemas["Record"]["minProperties"] = 1
    return {
        "openapi": "3.1.0",
        "info": {"title": f"The {card.name} model", "version": release, "description": _about(card)},
        "paths": {
            "/invocations": {"post": _invocations(card)},
            "/ping": {"get": _get("ping", "Whether the model answers", "Healthy", {"503": _error("It does not.")})},
            "/version": {"get": _get("version", "Where the model comes from", "Version")},
            "/card": {"get": _get("card", "All that is known of the model", "Card")},
        },
        "components": {
            "schemas": schemas,
            "headers": {"x-model-version": {"description": "the release that answered", "schema": {"type": "string"}}},
        },
    }


def _about(card: Card) -> str:
    what = {
        "binary": f"the probability of {card.means}",
        "multiclass": f"{card.means}: one of {', '.join(card.classes)}",
        "regression": f"{card.means}, in {card.unit}",
    }
    return f"Answers with {what[card.task]}.\n\n" + "\n".join(f"- {limit}" for limit in card.limits)


def _invocations(card: Card) -> dict[str, Any]:
    record = {"$ref": "#/components/schemas/Record"}
    many = {"type": "array", "items": record, "minItems": 1, "maxItems": MOST_RECORDS}
    instances = {
        "type": "object",
        "properties": {"instances": {"anyOf": [many, record]}},
        "required": ["instances"],
        "additionalProperties": False,
    }
    names = ",".join(feature.name for feature in card.features)
    rows = f"Lines of values in the order {names}, or of the columns that a header line names. An unknown one is empty."
    example = {feature.name: _example(feature) for feature in card.features[:3]}
    ok = _answer("One prediction for each record, in their order.", "Predictions")
    ok["content"][CSV.decode().split(";")[0]] = {"schema": {"type": "string"}}
    return {
        "operationId": "invocations",
        "summary": "Predict",
        "requestBody": {
            "required": True,
            "content": {
                JSON.decode(): {"schema": {"anyOf": [record, many, instances]}, "example": example},
                "text/csv": {"schema": {"type": "string", "description": rows}},
            },
        },
        "responses": {
            "200": ok,
            "400": _error("The body is neither JSON nor CSV, or not UTF-8."),
            "408": _error("The body did not come in time."),
            "413": _error("The body is too long."),
            "415": _error("The content-type is another."),
            "422": _answer("A value is not allowed: none of the records is answered.", "Refusal"),
        },
    }


def _example(feature: Feature) -> float | str:
    if isinstance(feature, Text):
        return " ".join(feature.terms[:3])
    return feature.spread.edges[0] if isinstance(feature, Measure) else feature.codes[0]


def _get(name: str, summary: str, schema: str, others: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": {"200": _answer(summary, schema), **(others or {})}}


def _error(description: str) -> dict[str, Any]:
    return _answer(description, "Error")


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"x-model-version": {"$ref": "#/components/headers/x-model-version"}},
        "content": {JSON.decode(): {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
