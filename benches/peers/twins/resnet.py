import torch
import torch.nn.functional as F
import torchvision

from common import channels_last, classes, numbers, set_weights, step


def forward(batch):
    def setup(variant):
        net = set_weights(10, torchvision.models.resnet18()).eval()
        net, x = channels_last(variant, net, numbers(1, batch, 3, 224, 224))
        if variant == "torch_compile":
            net = torch.compile(net, options={"freezing": True})

        def run():
            with torch.no_grad():
                return net(x)

        return run

    return setup


def train(variant):
    net = set_weights(10, torchvision.models.resnet18(num_classes=10))
    net, x = channels_last(variant, net, numbers(1, 16, 3, 64, 64))
    y = classes(16, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    return step(net, optimizer, lambda: F.cross_entropy(net(x), y), variant)


WORKLOADS = {
    "resnet18_fwd_b1": forward(1),
    "resnet18_fwd_b8": forward(8),
    "resnet18_train": train,
}
