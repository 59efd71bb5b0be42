"""The PyTorch twins of the workloads, driven over standard input and output.

One JSON object a line. In: {"setup": workload, "variant": name, "threads": n},
{"run": iterations}, {"quit": true}. Out: {"ready": true, "torch": version},
{"ok": true}, {"seconds": total}, {"error": text}.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def chain1000(_):
    x = torch.randn(16, requires_grad=True)
    one = torch.ones(16)

    def run():
        x.grad = None
        y = x
        for _ in range(1000):
            y = y + one
        y.sum().backward()

    return run


def mlp_step(variant):
    net = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=variant == "torch_fused")
    x, y = torch.randn(64, 784), torch.randint(0, 10, (64,))

    def run():
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return run


def lenet_step(_):
    net = nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(768, 100), nn.ReLU(), nn.Linear(100, 10),
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x, y = torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))

    def run():
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return run


def mlp(parameters, x):
    w1, b1, w2, b2, w3, b3 = parameters
    x = F.relu(F.linear(x, w1, b1))
    x = F.relu(F.linear(x, w2, b2))
    return F.linear(x, w3, b3)


def maml_sinusoid(steps):
    def setup(variant):
        sizes = [(40, 1), (40, 40), (1, 40)]
        parameters = []
        for out, into in sizes:
            parameters.append((torch.randn(out, into) / into**0.5).requires_grad_())
            parameters.append(torch.zeros(out).requires_grad_())
        optimizer = torch.optim.Adam(parameters, lr=1e-3)
        data = [torch.rand(25, 10, 1) * 10 - 5 for _ in range(2)]
        amplitude, phase = torch.rand(25, 1, 1) * 4.9 + 0.1, torch.rand(25, 1, 1) * 3.14159
        (xs, xq), (ys, yq) = data, [amplitude * torch.sin(x - phase) for x in data]

        def adapt_and_test(parameters, xs, ys, xq, yq):
            fast = list(parameters)
            for _ in range(steps):
                if variant == "torch_vmap":
                    inner = lambda p: F.mse_loss(mlp(p, xs), ys)
                    slopes = torch.func.grad(inner)(fast)
                else:
                    loss = F.mse_loss(mlp(fast, xs), ys)
                    slopes = torch.autograd.grad(loss, fast, create_graph=True)
                fast = [p - 0.01 * g for p, g in zip(fast, slopes)]
            return F.mse_loss(mlp(fast, xq), yq)

        def run():
            optimizer.zero_grad()
            if variant == "torch_vmap":
                each = torch.func.vmap(adapt_and_test, in_dims=(None, 0, 0, 0, 0))
                each(parameters, xs, ys, xq, yq).mean().backward()
            else:
                total = sum(
                    adapt_and_test(parameters, xs[t], ys[t], xq[t], yq[t]) for t in range(25)
                )
                (total / 25).backward()
            optimizer.step()

        return run

    return setup


def protonet_conv4(_):
    def block(i):
        return nn.Sequential(nn.Conv2d(i, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2))

    net = nn.Sequential(block(1), block(64), block(64), block(64), nn.Flatten())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, y = torch.randn(80, 1, 28, 28), torch.arange(55) % 5

    def run():
        optimizer.zero_grad()
        z = net(x)
        prototypes = z[:25].reshape(5, 5, -1).mean(0)
        distances = torch.cdist(z[25:], prototypes, compute_mode="use_mm_for_euclid_dist").square()
        F.cross_entropy(-distances, y).backward()
        optimizer.step()

    return run


def transformer(train):
    def setup(_):
        layer = nn.TransformerEncoderLayer(
            384, 12, 1536, dropout=0.0, activation="gelu", batch_first=True
        )
        net = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        x = torch.randn(16, 64, 384)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)

        def step():
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

        def forward():
            with torch.inference_mode():
                net(x)

        net.train(train)
        return step if train else forward

    return setup


def ntxent(_):
    z = torch.randn(512, 128, requires_grad=True)
    target = (torch.arange(512) + 256) % 512
    diagonal = torch.eye(512, dtype=torch.bool)

    def run():
        z.grad = None
        n = F.normalize(z, dim=1)
        similarity = (n @ n.T / 0.5).masked_fill(diagonal, float("-inf"))
        F.cross_entropy(similarity, target).backward()

    return run


WORKLOADS = {
    "chain1000": chain1000,
    "mlp_step": mlp_step,
    "lenet_step": lenet_step,
    "maml_sinusoid_1": maml_sinusoid(1),
    "maml_sinusoid_5": maml_sinusoid(5),
    "protonet_conv4": protonet_conv4,
    "transformer_fwd": transformer(False),
    "transformer_train": transformer(True),
    "ntxent": ntxent,
}


def answer(**content):
    print(json.dumps(content), flush=True)


def main():
    run = None
    answer(ready=True, torch=torch.__version__)
    for line in sys.stdin:
        request = json.loads(line)
        if "quit" in request:
            return
        try:
            if "setup" in request:
                torch.manual_seed(0)
                torch.set_num_threads(request["threads"])
                run = WORKLOADS[request["setup"]](request["variant"])
                answer(ok=True)
            else:
                start = time.perf_counter()
                for _ in range(request["run"]):
                    run()
                answer(seconds=time.perf_counter() - start)
        except Exception as error:  # told to the other side, which decides
            answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
