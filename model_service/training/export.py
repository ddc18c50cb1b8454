"""The export of a fitted model and its marginalisation (marginal.py) as one ONNX graph.

In:  ``features`` float32 [n, columns], NaN if unknown.
Out: ``mean``, ``low``, ``high``, each float32 [n, answers]: the probability of the target, that of each class, or the
number. If the rest were known, the answer would lie between low and high. skl2onnx converts the scikit-learn model,
which is called once, with n x patients completed rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType

from serving.model import OUTPUTS
from training.marginal import HIGH, LOW, MISMATCH, Marginal

OPSET = 18
ML_OPSET = 3
INNER = "inner_"
DIGITS = 6  # significant digits of a weight: enough for the answer, without the last bits, which vary by library


def export(marginal: Marginal) -> bytes:
    """The ONNX file. The same model and donors give the same bytes."""
    inner = compose.add_prefix(_inner(marginal), INNER)
    graph = _graph(marginal, inner.graph)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="training/export.py")
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _inner(marginal: Marginal) -> onnx.ModelProto:
    """The scikit-learn model as a graph: ``x`` [m, columns] to probabilities [m, classes] or numbers [m, 1]."""
    features = marginal.donors.shape[1]
    classifier = marginal.fitted.steps[-1][1]
    for name in ("coef_", "intercept_"):
        if hasattr(classifier, name):
            setattr(classifier, name, _rounded(getattr(classifier, name)))
    converted: onnx.ModelProto = to_onnx(
        marginal.fitted,
        initial_types=[("x", FloatTensorType([None, features]))],
        options={id(marginal.fitted): {"zipmap": False}} if marginal.settings.model.task != "regression" else None,
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    return converted


def _rounded(values: Any) -> Any:
    return np.array([float(f"{value:.{DIGITS}g}") for value in np.ravel(values)]).reshape(np.shape(values))


def _graph(marginal: Marginal, inner: onnx.GraphProto) -> onnx.GraphProto:
    features = marginal.donors.shape[1]
    steps = [*_weights(), *_answers(inner), *_quantiles()]
    return helper.make_graph(
        steps,
        "marginal",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", features])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "k"]) for name in OUTPUTS],
        initializer=[
            *(numpy_helper.from_array(np.asarray(value), name) for name, value in _constants(marginal).items()),
            *inner.initializer,
        ],
    )


def _constants(marginal: Marginal) -> dict[str, Any]:
    patients, features = marginal.donors.shape
    about = marginal.settings.model
    picked = {"binary": [1], "multiclass": list(range(len(about.classes))), "regression": [0]}[about.task]
    return {
        "donors": marginal.donors[None].astype(np.float32),
        "is_choice": marginal.is_choice,
        "inverse_variance": (1 / marginal.variance).astype(np.float32),
        "mismatch": np.float32(MISMATCH),
        "closeness": np.float32(-marginal.closeness),
        "nothing": np.float32(0),
        "unit": np.float32(1),
        "one": np.array([1], np.int64),
        "last": np.array([2], np.int64),
        "picked": np.array(picked, np.int64),
        "kinds": np.array([len(picked)], np.int64),
        "as_rows": np.array([-1, features], np.int64),
        "by_patient": np.int64(2),
        "start": np.array([0], np.int64),
        "flexible": np.array([-1], np.int64),
        "others": np.array([patients - 1], np.int64),
        "share_low": np.float32(LOW * (1 - 1e-6)),
        "share_high": np.float32(HIGH * (1 - 1e-6)),
    }


def _weights() -> list[onnx.NodeProto]:
    """From ``features`` to the ``weight`` of each patient for each row: [n, patients]."""
    return [
        # All patients are needed if any row has an unknown value. Without one, all completions are the same.
        _step("Unsqueeze", ["features", "one"], "person"),
        _step("IsNaN", ["person"], "unknown"),
        _step("Cast", ["unknown"], "hole", to=TensorProto.INT64),
        _step("ReduceMax", ["hole"], "any_hole", keepdims=0),
        _step("Mul", ["others", "any_hole"], "others_needed"),
        _step("Add", ["others_needed", "one"], "needed"),
        _step("Slice", ["donors", "start", "needed", "one"], "patients"),
        # The distance of each patient from each row in the row's known features: [n, patients]
        _step("Sub", ["person", "patients"], "difference"),
        _step("Mul", ["difference", "difference"], "square"),
        _step("Mul", ["square", "inverse_variance"], "apart_in_measure"),
        _step("Equal", ["person", "patients"], "same"),
        _step("Where", ["same", "nothing", "mismatch"], "apart_in_choice"),
        _step("Where", ["is_choice", "apart_in_choice", "apart_in_measure"], "apart_in_all"),
        _step("Where", ["unknown", "nothing", "apart_in_all"], "apart"),
        _step("ReduceSum", ["apart", "last"], "distance", keepdims=0),
        _step("Mul", ["distance", "closeness"], "exponent"),
        _step("Softmax", ["exponent"], "weight", axis=1),
    ]


def _answers(inner: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The model's ``answer`` for each row completed by each patient, [n, answers, patients], and the weighted mean."""
    return [
        _step("Where", ["unknown", "patients", "person"], "completed"),
        _step("Reshape", ["completed", "as_rows"], f"{INNER}x"),
        *inner.node,
        _step("Gather", [inner.output[-1].name, "picked"], "answers", axis=1),
        _step("Concat", ["flexible", "needed", "kinds"], "as_patients", axis=0),
        _step("Reshape", ["answers", "as_patients"], "by_row"),
        _step("Transpose", ["by_row"], "answer", perm=[0, 2, 1]),
        _step("Unsqueeze", ["weight", "one"], "weight_of_all"),
        _step("Mul", ["answer", "weight_of_all"], "share"),
        _step("ReduceSum", ["share", "last"], "mean", keepdims=0),
    ]


def _quantiles() -> list[onnx.NodeProto]:
    """The weighted quantiles ``low`` and ``high`` of the answers."""
    steps = [
        helper.make_node("TopK", ["answer", "needed"], ["rising", "order"], name="rising", axis=2, largest=0),
        _step("Shape", ["answer"], "as_answer"),
        _step("Expand", ["weight_of_all", "as_answer"], "weight_of_each"),
        _step("GatherElements", ["weight_of_each", "order"], "weight_rising", axis=2),
        _step("CumSum", ["weight_rising", "by_patient"], "reached"),
    ]
    for end in ("low", "high"):
        steps += [
            _step("Less", ["reached", f"share_{end}"], f"before_{end}"),
            _step("Where", [f"before_{end}", "nothing", "unit"], f"from_{end}"),
            _step("ArgMax", [f"from_{end}"], f"at_{end}", axis=2, keepdims=1),
            _step("GatherElements", ["rising", f"at_{end}"], f"{end}_column", axis=2),
            _step("Squeeze", [f"{end}_column", "last"], end),
        ]
    return steps


def _step(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)
