import torch
import torch.nn.functional as F

from common import numbers


def ntxent(variant):
    a, b = (numbers(seed, 256, 128).requires_grad_() for seed in (1, 2))
    target = (torch.arange(512) + 256) % 512
    diagonal = torch.eye(512, dtype=torch.bool)

    def loss(a, b):
        n = F.normalize(torch.cat([a, b]), dim=1)
        similarity = (n @ n.T / 0.5).masked_fill(diagonal, float("-inf"))
        return F.cross_entropy(similarity, target)

    if variant == "torch_compile":
        loss = torch.compile(loss)

    def run():
        a.grad = b.grad = None
        loss(a, b).backward()
        return a.grad + b.grad

    return run


WORKLOADS = {"ntxent": ntxent}
