import torch
import torch.nn.functional as F

from common import numbers, weight

# Batch, inputs, outputs, size, kernel, stride, groups.
LAYERS = {
    "conv3_64_56": (8, 64, 64, 56, 3, 1, 1),
    "conv3_128_28": (8, 128, 128, 28, 3, 1, 1),
    "conv3_256_14": (8, 256, 256, 14, 3, 1, 1),
    "conv3_512_7": (8, 512, 512, 7, 3, 1, 1),
    "conv3_64_14": (80, 64, 64, 14, 3, 1, 1),
    "conv3_64_7": (80, 64, 64, 7, 3, 1, 1),
    "depthwise3_128_28": (8, 128, 128, 28, 3, 1, 128),
    "conv1_64_256_56": (8, 64, 256, 56, 1, 1, 1),
    "conv5_s2_64_56": (8, 64, 128, 56, 5, 2, 1),
}


def layer(batch, inputs, outputs, size, kernel, stride, groups, train):
    def setup(_):
        w = weight(10, "weight", (outputs, inputs // groups, kernel, kernel))
        x = numbers(1, batch, inputs, size, size)
        options = dict(stride=stride, padding=kernel // 2, groups=groups)

        def forward():
            with torch.inference_mode():
                return F.conv2d(x, w, **options)

        if not train:
            return forward
        slope = numbers(2, *forward().shape)
        x.requires_grad_()
        w.requires_grad_()

        def run():
            return torch.autograd.grad(F.conv2d(x, w, **options), (x, w), slope)[1]

        return run

    return setup


WORKLOADS = {
    f"{name}_{kind}": layer(*sizes, kind == "train")
    for name, sizes in LAYERS.items()
    for kind in ("fwd", "train")
}
