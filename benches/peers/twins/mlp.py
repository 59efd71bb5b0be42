import torch
import torch.nn.functional as F
from torch import nn

from common import classes, numbers, set_weights, step


def mlp_step(variant):
    net = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    set_weights(10, net)
    fused = variant != "torch"
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=fused)
    x, y = numbers(1, 64, 784), classes(64, 10)
    return step(net, optimizer, lambda: F.cross_entropy(net(x), y), variant)


WORKLOADS = {"mlp_step": mlp_step}
