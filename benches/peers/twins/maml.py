import torch
import torch.nn.functional as F

from common import numbers


def mlp(parameters, x):
    w1, b1, w2, b2, w3, b3 = parameters
    x = F.relu(F.linear(x, w1, b1))
    x = F.relu(F.linear(x, w2, b2))
    return F.linear(x, w3, b3)


def adapt(parameters, xs, ys, steps, slopes):
    fast = list(parameters)
    for _ in range(steps):
        fast = [p - 0.01 * g for p, g in zip(fast, slopes(fast, xs, ys))]
    return fast


def eager(fast, xs, ys):
    return torch.autograd.grad(F.mse_loss(mlp(fast, xs), ys), fast, create_graph=True)


def functional(fast, xs, ys):
    return torch.func.grad(lambda p: F.mse_loss(mlp(p, xs), ys))(fast)


def sinusoid(steps):
    def setup(variant):
        parameters = []
        for seed, (out, into) in enumerate([(40, 1), (40, 40), (1, 40)]):
            parameters.append((numbers(10 + seed, out, into) * into**-0.5).requires_grad_())
            parameters.append(torch.zeros(out).requires_grad_())
        optimizer = torch.optim.Adam(parameters, lr=1e-3)
        xs, xq = numbers(1, 25, 10, 1) * 2.5, numbers(2, 25, 10, 1) * 2.5
        amplitude, phase = numbers(3, 25, 1, 1) * 1.4 + 2.5, numbers(4, 25, 1, 1) * 0.9 + 1.6
        ys, yq = (amplitude * torch.sin(x - phase) for x in (xs, xq))
        slopes = functional if variant == "torch_vmap" else eager

        def loss(parameters, xs, ys, xq, yq):
            return F.mse_loss(mlp(adapt(parameters, xs, ys, steps, slopes), xq), yq)

        def run():
            optimizer.zero_grad()
            if variant == "torch_vmap":
                each = torch.func.vmap(loss, in_dims=(None, 0, 0, 0, 0))
                mean = each(parameters, xs, ys, xq, yq).mean()
            else:
                mean = sum(loss(parameters, xs[t], ys[t], xq[t], yq[t]) for t in range(25)) / 25
            mean.backward()
            optimizer.step()
            return mean

        return run

    return setup


WORKLOADS = {"maml_sinusoid_1": sinusoid(1), "maml_sinusoid_5": sinusoid(5)}
