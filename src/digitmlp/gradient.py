"""Backpropagation through the network, written out."""

import torch
import torch.nn.functional as F
from torch import Tensor

from digitmlp.config import Loss
from digitmlp.model import MLP
from digitmlp.products import of_inputs, outputs


@torch.no_grad()
def backpropagate(
    network: MLP,
    images: Tensor,
    targets: Tensor,
    loss: Loss = "cross-entropy",
    kind: torch.dtype = torch.float32,
) -> Tensor:
    """Put the gradient of a batch's mean loss into every parameter's `grad`; return (2,): the
    summed cross-entropy, of whatever loss it is, and the hits of the batch, still on the device.

    images    (B, inputs)
    targets   (B, outputs): the probability wanted of each class, or of what is no digit
    loss      squared-hinge: Σ over the outputs of max(0, 1 ± logit / 2)², minus for the class that
              is wanted; probabilities weigh the two. What is right by enough teaches no more. Of
              logits halved, the softmax needs no more correction than cross-entropy's does
    kind      bfloat16: activations and weights are rounded to it, and what is multiplied is added
              up in float32; parameters, moments of BatchNorm and the loss stay float32
    Each member of a committee has its own gradient; loss and hits are the members' mean.

    Autograd gives the same numbers. It takes more operations, and new memory for every gradient:
    for batches of 64 and the tutorial's network a quarter more time.
    """
    slope = network.config.negative_slope
    *hidden, (output, _) = network.layers()
    weights = {linear: linear.weight.to(kind) for linear, _ in network.layers()}
    x, passed = network.features(images).to(kind), []
    for linear, norm in hidden:
        z, kept = outputs(x, weights[linear], linear.bias.to(kind)), None
        if norm:  # z (members, B, width)
            z, kept = norm.normalize(z)
        passed.append((linear, norm, x, kept))
        x = F.leaky_relu_(z, slope)
    logits = outputs(x, weights[output], output.bias.to(kind)).float()

    logs = logits.log_softmax(-1)
    entropy = (targets * logs).sum().neg()
    hits = (logits.argmax(-1) == targets.argmax(-1)).sum()
    of_logits = (
        logs.exp_().sub_(targets)
        if loss == "cross-entropy"
        else (1 - targets) * F.relu(1 + logits / 2) - targets * F.relu(1 - logits / 2)
    )
    gradient = of_logits.div_(len(images)).to(kind)

    above = output
    above.accept(x, gradient)
    for linear, norm, below, kept in reversed(passed):
        gradient = of_inputs(gradient, weights[above])
        gradient = torch.ops.aten.leaky_relu_backward(gradient, x, slope, True)
        if norm and kept:
            gradient = norm.accept(gradient, kept)
        linear.accept(below, gradient)
        above, x = linear, below
    totals: Tensor = torch.stack([entropy, hits]) / network.config.members
    return totals
