import torch
import torch.nn.functional as F
from torch import nn

from common import classes, numbers, set_weights, step


def mlp(width, seed):
    net = nn.Sequential(
        nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )
    return set_weights(seed, net)


def setup(source):
    def make(variant):
        teacher, net = mlp(1200, 10).requires_grad_(False), mlp(800, 20)
        x, y = numbers(1, 128, 784), classes(128, 10)
        rows = torch.arange(128)
        stored = teacher(x)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=variant != "torch")

        def loss():
            logits = net(x)
            hard = F.cross_entropy(logits, y)
            if source == "none":
                return hard
            said = teacher(x) if source == "live" else stored[rows]
            soft = F.kl_div(
                F.log_softmax(logits / 4, 1), F.log_softmax(said / 4, 1),
                reduction="batchmean", log_target=True,
            )
            return 0.1 * hard + 0.9 * 16 * soft

        return step(net, optimizer, loss, variant)

    return make


WORKLOADS = {
    "kd_step": setup("live"),
    "kd_step_cached": setup("cached"),
    "kd_step_plain": setup("none"),
}
