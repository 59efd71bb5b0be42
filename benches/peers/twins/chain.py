import torch


def chain1000(_):
    x = torch.linspace(-1, 1, 16, requires_grad=True)
    one = torch.ones(16)

    def forward(x):
        y = x
        for _ in range(1000):
            y = y + one
        return y.sum()

    def run():
        x.grad = None
        y = forward(x)
        y.backward()
        return y + x.grad

    return run


WORKLOADS = {"chain1000": chain1000}
