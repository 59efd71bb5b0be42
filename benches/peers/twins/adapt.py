import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from common import array, classes, numbers, set_weights, step


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, slope):
        return slope * -0.5


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(100, 100), nn.BatchNorm1d(100), nn.ReLU(),
            nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1),
        )

    def forward(self, x):
        return self.layers(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(768, 100), nn.ReLU(),
        )
        self.head = nn.Linear(100, 10)
        self.discriminator = Discriminator()


def dann_step(variant):
    net = set_weights(10, Net())
    x, y = numbers(1, 128, 1, 28, 28), classes(64, 10)
    domain = (torch.arange(128) < 64).float()[:, None]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def loss():
        features = net.encoder(x)
        told = net.discriminator(Reverse.apply(features))
        wrong = F.binary_cross_entropy_with_logits(told, domain)
        return F.cross_entropy(net.head(features[:64]), y) + wrong

    return step(net, optimizer, loss, variant)


def sinkhorn(variant):
    import ot

    a, b = array(1, 1000, 16), array(2, 1000, 16)
    cost = ((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T).astype(np.float32)
    uniform = np.full(1000, 1e-3, dtype=np.float32)
    method = "sinkhorn_log" if variant == "pot_log" else "sinkhorn"
    options = dict(reg=float(cost.mean()) * 0.1, method=method, numItermax=100, stopThr=0.0, warn=False)
    return lambda: ot.sinkhorn(uniform, uniform, cost, **options)


WORKLOADS = {"dann_step": dann_step, "sinkhorn": sinkhorn}
