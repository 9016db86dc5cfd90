"""What MLflow is told of an ONNX file: its inputs and outputs as it would be sent them."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from ann.tracking.models import signature_of


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT, np.float32),
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.INT64, np.int64),
        (TensorProto.UINT8, np.uint8),
        (TensorProto.BOOL, np.bool_),
        (TensorProto.STRING, object),
    ],
)
def test_a_tensor_is_told_with_its_type_and_what_is_free_in_size(kind: int, dtype: type) -> None:
    put = helper.make_tensor_value_info("photo", kind, ["N", "H", 8, 3])
    graph = helper.make_graph([], "none", [put], [helper.make_tensor_value_info("label", kind, ["N"])])
    signature = signature_of(helper.make_model(graph))
    told = [(spec.name, spec.type, spec.shape) for spec in (*signature.inputs, *signature.outputs)]
    assert told == [("photo", np.dtype(dtype), (-1, -1, 8, 3)), ("label", np.dtype(dtype), (-1,))]
