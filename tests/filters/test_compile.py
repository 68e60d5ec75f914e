"""`torch.compile(fullgraph=True)` takes every operator: one graph, with the same output and gradients.

By the backend that traces forward and backward and compiles nothing; and by PyTorch's own where there is a C++ compiler.
"""

from __future__ import annotations

import shutil

import pytest
import torch

from tests.filters.operators import OF_ORDER_2, Operator, assert_same, gradients, name, needing_gradients


@pytest.mark.parametrize("operator", OF_ORDER_2, ids=name)
def test_a_compiled_filter_is_the_filter(operator: Operator):
    inputs = needing_gradients(operator.inputs(rows=3, time=20))
    torch._dynamo.reset()
    compiled = torch.compile(operator.__call__, fullgraph=True, backend="aot_eager")
    for found, expected in zip(compiled(**inputs), operator(**inputs), strict=True):
        torch.testing.assert_close(found, expected)
    assert_same(gradients(compiled, inputs), gradients(operator, inputs))


@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles with g++, which is not here")
def test_inductor_compiles_a_filter():
    operator = OF_ORDER_2[2]
    inputs = needing_gradients(operator.inputs(rows=3, time=20))
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, a, zi: operator(x=2 * x, a=a, zi=zi), fullgraph=True)
    expected = gradients(lambda x, a, zi: operator(x=2 * x, a=a, zi=zi), inputs)
    assert_same(gradients(compiled, inputs), expected)
