"""The products of a layer: each kernel gives the same, and the processor's own is chosen."""

import pytest
import torch

from digitmlp import products

MEMBERS, ROWS, INPUTS, OUTPUTS = 1, 6, 5, 4


@pytest.mark.parametrize("onednn", [False, True])
def test_both_kernels_give_the_products_of_a_layer(monkeypatch, onednn):
    monkeypatch.setattr(products, "_ONEDNN", onednn)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(MEMBERS, ROWS, INPUTS, generator=random)
    weight = torch.randn(MEMBERS, INPUTS, OUTPUTS, generator=random)
    bias = torch.randn(MEMBERS, 1, OUTPUTS, generator=random)
    gradient = torch.randn(MEMBERS, ROWS, OUTPUTS, generator=random)
    torch.testing.assert_close(
        products.outputs(x, weight, bias),
        torch.einsum("mri,mio->mro", x, weight) + bias,
    )
    torch.testing.assert_close(
        products.of_inputs(gradient, weight), torch.einsum("mro,mio->mri", gradient, weight)
    )
    torch.testing.assert_close(
        products.of_weights(x, gradient), torch.einsum("mri,mro->mio", x, gradient)
    )


@pytest.mark.parametrize(
    ("processor", "mkl", "onednn"),
    [
        ("AMD EPYC 9R14", True, True),
        ("Intel(R) Xeon(R) Processor", True, False),
        ("Intel(R) Xeon(R) Processor", False, True),
        ("arm", False, True),
    ],
)
def test_mkl_multiplies_on_the_processors_it_is_made_for(monkeypatch, processor, mkl, onednn):
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    assert products._prefers_onednn(processor) is onednn
