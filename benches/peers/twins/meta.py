import torch
import torch.nn.functional as F
from torch import nn

from common import classes, numbers, weight

STEPS = 2


class Block(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.add_module("0", nn.Conv2d(inputs, 32, 3, padding=1))
        # Statistics of the batch, as in the paper; running ones would only cost.
        self.add_module("1", nn.BatchNorm2d(32, track_running_stats=False))

    def forward(self, x):
        return F.max_pool2d(F.relu(self._modules["1"](self._modules["0"](x))), 2)


class Conv4(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(*(Block(32 if i else 1) for i in range(4)))
        self.classifier = nn.Linear(32, 5)

    def forward(self, x):
        return self.classifier(self.encoder(x).flatten(1))


def maml_conv4(variant):
    net = Conv4()
    named = dict(net.named_parameters())
    with torch.no_grad():
        for at, name in enumerate(sorted(named)):
            named[name].copy_(weight(10 + at, name, tuple(named[name].shape)))
    call = lambda parameters, x: torch.func.functional_call(net, parameters, (x,))
    xs = torch.stack([numbers(100 + t, 5, 1, 28, 28) for t in range(4)])
    xq = torch.stack([numbers(200 + t, 75, 1, 28, 28) for t in range(4)])
    ys, yq = classes(5, 5), classes(75, 5)

    def query_loss(parameters, xs, xq):
        inner = lambda p: F.cross_entropy(call(p, xs), ys)
        if variant == "torch_vmap":
            slopes = torch.func.grad(inner)(parameters)
        else:
            found = torch.autograd.grad(inner(parameters), list(parameters.values()), create_graph=True)
            slopes = dict(zip(parameters, found))
        fast = {name: p - 0.4 * slopes[name] for name, p in parameters.items()}
        return F.cross_entropy(call(fast, xq), yq)

    def outer():
        if variant == "torch_vmap":
            return torch.func.vmap(query_loss, in_dims=(None, 0, 0))(named, xs, xq).mean()
        return sum(query_loss(named, xs[t], xq[t]) for t in range(4)) / 4

    def run():
        before = net.classifier.weight.detach().clone()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(STEPS):
            optimizer.zero_grad()
            outer().backward()
            optimizer.step()
        return net.classifier.weight.detach() - before

    return run


WORKLOADS = {"maml_conv4_5w1s": maml_conv4}
