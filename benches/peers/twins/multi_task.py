import torch
import torch.nn.functional as F
from torch import nn
from torchjd.aggregation import MGDA, PCGrad, UPGrad
from torchjd.autojac import jac_to_grad, mtl_backward

from common import numbers, set_weights

STEPS = 4
AGGREGATORS = {"pcgrad": PCGrad, "upgrad": UPGrad, "mgda": MGDA}


class Net(nn.Module):
    def __init__(self, tasks):
        super().__init__()
        layers = []
        for _ in range(3):
            layers += [nn.Linear(512, 512), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(512, 1) for _ in range(tasks))


def setup(name, tasks):
    def make(_):
        net = set_weights(10, Net(tasks))
        aggregator = AGGREGATORS[name]()
        x = numbers(1, 64, 512)
        targets = [numbers(100 + t, 64, 1) for t in range(tasks)]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        first = net.trunk[0].weight

        def run():
            before = first.detach().clone()
            for _ in range(STEPS):
                features = net.trunk(x)
                losses = [F.mse_loss(h(features), y) for h, y in zip(net.heads, targets)]
                mtl_backward(losses, features=features)
                jac_to_grad(net.trunk.parameters(), aggregator, optimize_gramian_computation=True)
                optimizer.step()
                optimizer.zero_grad()
            return first.detach() - before

        return run

    return make


WORKLOADS = {
    f"mtl_{name}_t{tasks}": setup(name, tasks) for name in AGGREGATORS for tasks in (2, 8, 32)
}
