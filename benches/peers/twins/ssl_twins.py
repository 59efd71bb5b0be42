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


class Views(torch.utils.data.Dataset):
    """Views of images, one at a time: each has its own random numbers."""

    def __init__(self, x, views, epochs):
        self.x, self.views, self.length = x, views, len(x) * epochs
        self.transform = pipeline()

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        return [self.transform(self.x[i % BATCH]) for _ in range(self.views)]


def batches(x, views, workers):
    """Batches for ever, prepared by other processes."""
    while True:
        loader = torch.utils.data.DataLoader(
            Views(x, views, 200), BATCH, num_workers=workers, prefetch_factor=2
        )
        yield from loader


def augment(variant):
    x = images(3)
    if variant == "torchvision_workers":
        stream = batches(x, 1, torch.get_num_threads())
        return lambda: next(stream)[0]
    transform = pipeline()
    return lambda: torch.stack([transform(image) for image in x])


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
