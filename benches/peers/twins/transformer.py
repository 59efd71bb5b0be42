import torch
from torch import nn

from common import numbers, set_weights, step


def encoder():
    layer = nn.TransformerEncoderLayer(
        384, 12, 1536, dropout=0.0, activation="gelu", batch_first=True
    )
    return set_weights(10, nn.TransformerEncoder(layer, 6, enable_nested_tensor=False))


def forward(variant):
    net, x = encoder().eval(), numbers(1, 16, 64, 384)
    if variant == "torch_compile":
        net = torch.compile(net)

    def run():
        with torch.inference_mode():
            return net(x)

    return run


def train(variant):
    net, x, target = encoder(), numbers(1, 16, 64, 384), numbers(2, 16, 64, 384)
    fused = variant != "torch"
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=fused)
    return step(net, optimizer, lambda: (net(x) * target).mean(), variant)


WORKLOADS = {"transformer_fwd": forward, "transformer_train": train}
