import multiprocessing

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from common import channels_last, numbers, set_weights, step

BATCH = 256


def pipeline():
    from torchvision.transforms import v2

    return v2.Compose([
        v2.RandomCrop(28, padding=4),
        v2.RandomHorizontalFlip(),
        v2.RandomAffine(15, scale=(0.8, 1.2), interpolation=v2.InterpolationMode.BILINEAR),
        v2.ColorJitter(brightness=0.4, contrast=0.4),
        v2.GaussianBlur(5, sigma=(0.1, 1.0)),
    ])


def images(channels):
    return numbers(1, BATCH, channels, 28, 28) * 0.25 + 0.5


def prepare(images):
    transform = prepare.transform
    return torch.stack([transform(image) for image in images]).numpy()


def augment(variant):
    x = images(3)
    prepare.transform = pipeline()
    if variant == "torchvision":
        return lambda: prepare(x)
    # A loader's worker processes, but none that works ahead in our turn.
    workers = torch.get_num_threads()
    parts = x.chunk(workers)
    torch.set_num_threads(1)
    pool = multiprocessing.get_context("fork").Pool(workers)
    return lambda: np.concatenate(pool.map(prepare, parts))


def resnet():
    from torchvision.models.resnet import BasicBlock, ResNet

    net = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=128)
    net.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    return set_weights(10, net)


def nt_xent(a, b):
    n = len(a)
    target = (torch.arange(2 * n) + n) % (2 * n)
    z = F.normalize(torch.cat([a, b]), dim=1)
    similarity = z @ z.T / 0.5
    similarity.fill_diagonal_(float("-inf"))
    return F.cross_entropy(similarity, target)


def simclr(augmented):
    def make(variant):
        net, x = channels_last(variant, resnet(), images(1))
        transform = pipeline() if augmented else None
        view = lambda: torch.stack([transform(i) for i in x]) if augmented else x
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
        return step(net, optimizer, lambda: nt_xent(net(view()), net(view())), variant)

    return make


def vicreg(a, b):
    total = 25 * F.mse_loss(a, b)
    for x in (a, b):
        x = x - x.mean(0)
        total = total + 25 * F.relu(1 - (x.var(0) + 1e-4).sqrt()).mean() / 2
        c = x.T @ x / (len(x) - 1)
        total = total + (c.square().sum() - c.diagonal().square().sum()) / x.shape[1]
    return total


def vicreg_loss(variant):
    a, b = (numbers(seed, BATCH, 1024).requires_grad_() for seed in (1, 2))
    loss = vicreg
    if variant == "torch_compile":
        loss = torch.compile(vicreg)
    elif variant == "lightly":
        from lightly.loss import VICRegLoss

        loss = VICRegLoss()

    def run():
        a.grad = b.grad = None
        loss(a, b).backward()
        return a.grad - b.grad

    return run


WORKLOADS = {
    "augment": augment,
    "simclr_step": simclr(True),
    "simclr_step_plain": simclr(False),
    "vicreg_loss": vicreg_loss,
}
