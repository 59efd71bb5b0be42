import torch
import torch.nn.functional as F
from torch import nn

from common import channels_last, classes, numbers, set_weights, step


def lenet_step(variant):
    net = nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(768, 100), nn.ReLU(), nn.Linear(100, 10),
    )
    net, x = channels_last(variant, set_weights(10, net), numbers(1, 64, 1, 28, 28))
    y = classes(64, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    return step(net, optimizer, lambda: F.cross_entropy(net(x), y), variant)


def protonet_conv4(variant):
    parts = []
    for i in range(4):
        inputs = 64 if i else 1
        parts += [nn.Conv2d(inputs, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
    net = set_weights(10, nn.Sequential(*parts, nn.Flatten()))
    net, x = channels_last(variant, net, numbers(1, 80, 1, 28, 28))
    y = classes(55, 5)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def loss():
        z = net(x)
        prototypes, queries = z[:25].reshape(5, 5, -1).mean(0), z[25:]
        square = lambda t: t.square().sum(1)
        cross = torch.addmm(square(prototypes)[None], queries, prototypes.T, alpha=-2)
        return F.cross_entropy((cross + square(queries)[:, None]) / -64, y)

    return step(net, optimizer, loss, variant)


WORKLOADS = {"lenet_step": lenet_step, "protonet_conv4": protonet_conv4}
