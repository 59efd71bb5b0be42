import torch
import torch.nn.functional as F
from torch import nn

from common import numbers, set_weights, step, weight

LENGTH = 64


class Adapted(nn.Module):
    """A frozen linear layer with a low-rank change, as PEFT computes it."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.zeros(8, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, 8))

    def forward(self, x):
        return self.base(x) + F.linear(F.linear(x, self.a), self.b)


class Parts(nn.Module):
    """Submodules under BERT's names, one of which is `self`."""

    def __init__(this, **parts):
        super().__init__()
        for name, part in parts.items():
            this.add_module(name, part)


def norm():
    return nn.LayerNorm(384, eps=1e-12)


def bert_layer():
    linear = lambda i=384, o=384: nn.Linear(i, o)
    inner = Parts(query=linear(), key=linear(), value=linear())
    attention = Parts(self=inner, output=Parts(dense=linear(), LayerNorm=norm()))
    return Parts(
        attention=attention,
        intermediate=Parts(dense=linear(384, 1536)),
        output=Parts(dense=linear(1536, 384), LayerNorm=norm()),
    )


def bert():
    embeddings = Parts(
        word_embeddings=nn.Embedding(1000, 384),
        position_embeddings=nn.Embedding(LENGTH, 384),
        token_type_embeddings=nn.Embedding(2, 384),
        LayerNorm=norm(),
    )
    encoder = Parts(layer=nn.ModuleList(bert_layer() for _ in range(6)))
    return Parts(embeddings=embeddings, encoder=encoder, pooler=Parts(dense=nn.Linear(384, 384)))


def forward(net, ids):
    e = net.embeddings
    x = e.word_embeddings(ids) + e.token_type_embeddings.weight[0] + e.position_embeddings.weight
    x = e.LayerNorm(x)
    heads = lambda t: t.view(16, LENGTH, 12, 32).transpose(1, 2)
    for layer in net.encoder.layer:
        own, out = layer.attention.self, layer.attention.output
        y = F.scaled_dot_product_attention(*(heads(p(x)) for p in (own.query, own.key, own.value)))
        x = out.LayerNorm(x + out.dense(y.transpose(1, 2).flatten(2)))
        hidden = F.gelu(layer.intermediate.dense(x))
        x = layer.output.LayerNorm(x + layer.output.dense(hidden))
    return x


def lora_train(variant):
    net = set_weights(100, bert()).requires_grad_(False)
    for kind in ("query", "value"):
        for layer in net.encoder.layer:
            own = layer.attention.self
            setattr(own, kind, Adapted(getattr(own, kind)))
    # In the order in which ours numbers them: layer by layer.
    adapters = [getattr(l.attention.self, k) for l in net.encoder.layer for k in ("query", "value")]
    trained = [p for adapter in adapters for p in (adapter.a, adapter.b)]
    with torch.no_grad():
        for at, p in enumerate(trained):
            p.copy_(weight(11 + at, "lora", tuple(p.shape)))
    ids = torch.tensor([[(i * 61 + t * 17) % 1000 for t in range(LENGTH)] for i in range(16)])
    target = numbers(2, 16, LENGTH, 384)
    fused = variant != "torch"
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=fused)
    return step(net, optimizer, lambda: (forward(net, ids) * target).mean(), variant)


WORKLOADS = {"lora_train": lora_train}
