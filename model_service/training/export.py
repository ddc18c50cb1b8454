"""Writes a fitted model and its marginalisation (marginal.py) as one ONNX graph.

In:  ``features`` float32 [n, features], a NaN where unknown.
Out: ``probability``, ``low``, ``high``, each float32 [n]; low and high are what it would lie between were the rest
known. Whatever scikit-learn model won is converted by skl2onnx and asked once, for n x patients completed rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType

from training.marginal import HIGH, LOW, MISMATCH, Marginal

OPSET = 18
ML_OPSET = 3
INNER = "inner_"
DIGITS = 6  # significant ones kept of a weight: enough for the answer, too few for a library's last bits to show


def export(marginal: Marginal) -> bytes:
    """The ONNX file. The same model and donors give the same bytes."""
    inner = compose.add_prefix(_inner(marginal), INNER)
    graph = _graph(marginal, inner.graph)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="training/export.py")
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _inner(marginal: Marginal) -> onnx.ModelProto:
    """The scikit-learn model as a graph: ``x`` [m, features] to ``probabilities`` [m, 2]."""
    features = marginal.donors.shape[1]
    classifier = marginal.fitted.steps[-1][1]
    for name in ("coef_", "intercept_"):
        if hasattr(classifier, name):
            setattr(classifier, name, _rounded(getattr(classifier, name)))
    converted: onnx.ModelProto = to_onnx(
        marginal.fitted,
        initial_types=[("x", FloatTensorType([None, features]))],
        options={id(marginal.fitted): {"zipmap": False}},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    return converted


def _rounded(values: Any) -> Any:
    return np.array([float(f"{value:.{DIGITS}g}") for value in np.ravel(values)]).reshape(np.shape(values))


def _graph(marginal: Marginal, inner: onnx.GraphProto) -> onnx.GraphProto:
    patients, features = marginal.donors.shape
    steps: list[onnx.NodeProto] = []

    def step(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        steps.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    constants = {
        "donors": marginal.donors[None].astype(np.float32),
        "is_choice": marginal.is_choice,
        "inverse_variance": (1 / marginal.variance).astype(np.float32),
        "mismatch": np.float32(MISMATCH),
        "closeness": np.float32(-marginal.closeness),
        "nothing": np.float32(0),
        "unit": np.float32(1),
        "one": np.array([1], np.int64),
        "last": np.array([2], np.int64),
        "ill": np.int64(1),
        "as_rows": np.array([-1, features], np.int64),
        "by_patient": np.int64(1),
        "start": np.array([0], np.int64),
        "flexible": np.array([-1], np.int64),
        "others": np.array([patients - 1], np.int64),
        "share_low": np.float32(LOW * (1 - 1e-6)),
        "share_high": np.float32(HIGH * (1 - 1e-6)),
    }
    # All patients are needed as soon as a row has a hole; where none has, they complete it alike, and one will do.
    step("Unsqueeze", ["features", "one"], "person")
    step("IsNaN", ["person"], "unknown")
    step("Cast", ["unknown"], "hole", to=TensorProto.INT64)
    step("ReduceMax", ["hole"], "any_hole", keepdims=0)
    step("Mul", ["others", "any_hole"], "others_needed")
    step("Add", ["others_needed", "one"], "needed")
    step("Slice", ["donors", "start", "needed", "one"], "patients")
    # How far each patient is from each row, in what is known of it: [n, patients]
    step("Sub", ["person", "patients"], "difference")
    step("Mul", ["difference", "difference"], "square")
    step("Mul", ["square", "inverse_variance"], "apart_in_measure")
    step("Equal", ["person", "patients"], "same")
    step("Where", ["same", "nothing", "mismatch"], "apart_in_choice")
    step("Where", ["is_choice", "apart_in_choice", "apart_in_measure"], "apart_in_all")
    step("Where", ["unknown", "nothing", "apart_in_all"], "apart")
    step("ReduceSum", ["apart", "last"], "distance", keepdims=0)
    step("Mul", ["distance", "closeness"], "exponent")
    step("Softmax", ["exponent"], "weight", axis=1)
    # The model's answer for the row as each patient completes it: [n, patients]
    step("Where", ["unknown", "patients", "person"], "completed")
    step("Reshape", ["completed", "as_rows"], f"{INNER}x")
    steps.extend(inner.node)
    step("Gather", [inner.output[-1].name, "ill"], "answers", axis=1)
    step("Concat", ["flexible", "needed"], "as_patients", axis=0)
    step("Reshape", ["answers", "as_patients"], "answer")
    step("Mul", ["answer", "weight"], "share")
    step("ReduceSum", ["share", "one"], "probability", keepdims=0)
    # Its weighted quantiles
    steps.append(helper.make_node("TopK", ["answer", "needed"], ["rising", "order"], name="rising", axis=1, largest=0))
    step("GatherElements", ["weight", "order"], "weight_rising", axis=1)
    step("CumSum", ["weight_rising", "by_patient"], "reached")
    for end in ("low", "high"):
        step("Less", ["reached", f"share_{end}"], f"before_{end}")
        step("Where", [f"before_{end}", "nothing", "unit"], f"from_{end}")
        step("ArgMax", [f"from_{end}"], f"at_{end}", axis=1, keepdims=1)
        step("GatherElements", ["rising", f"at_{end}"], f"{end}_column", axis=1)
        step("Squeeze", [f"{end}_column", "one"], end)
    return helper.make_graph(
        steps,
        "marginal",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", features])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("probability", "low", "high")],
        initializer=[
            *(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()),
            *inner.initializer,
        ],
    )
