"""What steps cost."""

from __future__ import annotations

import pytest

from tests.unit.compute.chips.npu_int8.small_graphs import inverted_bottleneck, pictures
from trunkline.compute.chips.npu_int8.compiler import compile_graph
from trunkline.compute.chips.npu_int8.running import run
from trunkline.compute.chips.npu_int8.work import Product, works


def test_shapes_are_those_of_a_run_and_products_those_of_the_definition() -> None:
    program = compile_graph(inverted_bottleneck(), pictures(), where="small").program
    found = works(program)
    made = run(program, pictures(1), keep=[step.output for step in program.steps])
    assert [work.shape for work in found] == [made[work.step.output].shape[1:] for work in found]
    assert {work.step.output: work.product for work in found if work.product} == {
        "r0": Product(1, 36, 27, 8),
        "r1": Product(1, 36, 8, 16),
        "r2": Product(16, 36, 9, 1),
        "c3": Product(1, 36, 16, 8),
    }


@pytest.mark.parametrize(("product", "macs"), [(Product(1, 36, 27, 8), 7776), (Product(16, 36, 9, 1), 5184)])
def test_macs(product: Product, macs: int) -> None:
    assert product.macs == macs
