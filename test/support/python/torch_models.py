"""Writes networks that PyTorch exports as ONNX, with PyTorch's own outputs.

torch_models.py FOLDER: NAME.onnx and NAME.json for each network and exporter (`script`: TorchScript's; `dynamo`: torch.export's). index.json
lists them, PyTorch's version, and exports that failed, with the reason.
"""
import json
import os
import sys
import warnings

import torch
import torch.nn.functional as F
from torch import nn

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
warnings.filterwarnings("ignore")
torch.set_num_threads(1)


class Residual(nn.Module):
    """Adds the input, or a projection of it, to the result of a few layers."""

    def __init__(self, inner, side=None, after=None):
        super().__init__()
        self.inner, self.side, self.after = inner, side or nn.Identity(), after or nn.Identity()

    def forward(self, x):
        return self.after(self.inner(x) + self.side(x))


class Take(nn.Module):
    """Applies a function, such as one that chooses an element of a tuple."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def inverted(channels, out, stride, expansion=3):
    wide = channels * expansion
    inner = nn.Sequential(
        *(nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
        *(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
        *(nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)),
    )
    return Residual(inner) if stride == 1 and channels == out else inner


class Excite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.inner = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 4, 1), nn.ReLU(), nn.Conv2d(4, channels, 1), nn.Hardsigmoid())

    def forward(self, x):
        return x * self.inner(x)


class UNet(nn.Module):
    def __init__(self, up):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.LeakyReLU(0.1))
        self.second = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.SiLU())
        self.up = up
        self.last = nn.Sequential(nn.Conv2d(20, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1), nn.Sigmoid())

    def forward(self, x):
        a = self.first(x)
        return self.last(torch.cat([a, self.up(self.second(a))], dim=1))


class Recurrent(nn.Module):
    """A recurrent layer over the time steps, and a dense layer on the last step's result."""

    def __init__(self, layer, width, classes=4, before=None):
        super().__init__()
        self.before, self.layer, self.last = before or nn.Identity(), layer, nn.Linear(width, classes)

    def forward(self, x):
        y, _ = self.layer(self.before(x))
        return self.last(y[:, -1])


class Causal(nn.Module):
    """A block of a temporal convolutional network: dilated, padded on the left."""

    def __init__(self, channels, dilation):
        super().__init__()
        self.pad, self.conv = 2 * dilation, nn.Conv1d(channels, channels, 3, dilation=dilation)

    def forward(self, x):
        return torch.relu(self.conv(F.pad(x, (self.pad, 0)))) + x


class SelfAttention(nn.Module):
    def __init__(self, width, heads, causal=False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.whole, self.last = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, steps, width = x.shape
        split = lambda part: part.view(batch, steps, self.heads, -1).transpose(1, 2)
        query, key, value = (split(part) for part in self.whole(x).chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.last(y.transpose(1, 2).reshape(batch, steps, width))


class MultiHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.norm = nn.MultiheadAttention(12, 3, batch_first=True), nn.LayerNorm(12)

    def forward(self, x):
        return self.norm(x + self.inner(x, x, x, need_weights=False)[0]).mean(dim=1)


class Patches(nn.Module):
    """A small vision transformer with a token of its own."""

    def __init__(self):
        super().__init__()
        self.cut = nn.Conv2d(3, 12, 4, 4)
        self.token, self.place = nn.Parameter(torch.randn(1, 1, 12)), nn.Parameter(torch.randn(1, 10, 12))
        self.block = nn.TransformerEncoderLayer(12, 2, 24, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.last = nn.Linear(12, 5)

    def forward(self, x):
        y = self.cut(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(x.shape[0], -1, -1), y], dim=1) + self.place
        return self.last(self.block(y)[:, 0])


class ConvNext(nn.Module):
    """A block whose normalization and dense layers take channels last."""

    def __init__(self, width):
        super().__init__()
        self.depth = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.inner = nn.Sequential(nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.scale = nn.Parameter(torch.rand(width))

    def forward(self, x):
        y = self.inner(self.depth(x).permute(0, 2, 3, 1)) * self.scale
        return x + y.permute(0, 3, 1, 2)


class Words(nn.Module):
    """A classifier of word numbers."""

    def __init__(self):
        super().__init__()
        self.table, self.layer, self.last = nn.Embedding(20, 8), nn.GRU(8, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.last(self.layer(self.table(x))[1][-1])


class Shuffle(nn.Module):
    def forward(self, x):
        batch, channels, high, wide = x.shape
        return x.view(batch, 2, channels // 2, high, wide).transpose(1, 2).reshape(batch, channels, high, wide)


class Pooling(nn.Module):
    """Attention over time: a weighted mean and deviation, as for speakers' voices."""

    def __init__(self, channels):
        super().__init__()
        self.score = nn.Sequential(nn.Conv1d(channels, 6, 1), nn.Tanh(), nn.Conv1d(6, channels, 1), nn.Softmax(dim=2))

    def forward(self, x):
        w = self.score(x)
        mean = torch.sum(w * x, dim=2)
        spread = torch.sqrt((torch.sum(w * x**2, dim=2) - mean**2).clamp(min=1e-4))
        return torch.cat([mean, spread], dim=1)


def images(shape):
    return lambda: torch.randn(1, *shape)


def networks():
    """Name, network and a function that makes an input."""
    relu = nn.ReLU
    yield "cnn-batchnorm", nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), relu(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), relu(), nn.MaxPool2d(2), nn.Dropout(0.5)),
        *(nn.Flatten(), nn.Linear(256, 16), relu(), nn.Linear(16, 4)),
    ), images((3, 16, 16))
    yield "inverted-residuals", nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), inverted(8, 8, 1), inverted(8, 12, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)),
    ), images((3, 24, 24))
    block = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), relu(), nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16))
    side = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
    yield "resnet", nn.Sequential(
        *(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), relu(), nn.MaxPool2d(3, 2, 1), Residual(block, side, relu())),
        *(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(16, 4)),
    ), images((3, 32, 32))
    yield "unet-transposed", UNet(nn.ConvTranspose2d(12, 12, 2, 2)), images((3, 16, 16))
    yield "unet-overlapping", UNet(nn.ConvTranspose2d(12, 12, 3, 2, 1, output_padding=1)), images((3, 16, 16))
    yield "unet-bilinear", UNet(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)), images((3, 16, 16))
    yield "unet-nearest", UNet(nn.Upsample(scale_factor=2, mode="nearest")), images((3, 16, 16))
    yield "unet-halves", UNet(nn.Upsample(size=(16, 16), mode="bilinear")), images((3, 16, 16))
    yield "gru", Recurrent(nn.GRU(6, 10, batch_first=True), 10), images((12, 6))
    yield "gru-stacked", Recurrent(nn.GRU(6, 8, 2, batch_first=True, bidirectional=True), 16), images((8, 6))
    yield "lstm", Recurrent(nn.LSTM(6, 10, batch_first=True), 10), images((12, 6))
    yield "lstm-bidirectional", Recurrent(nn.LSTM(6, 8, batch_first=True, bidirectional=True), 16), images((10, 6))
    yield "lstm-projected", Recurrent(nn.LSTM(6, 8, batch_first=True, proj_size=4), 4), images((8, 6))
    yield "rnn-relu", Recurrent(nn.RNN(6, 10, nonlinearity="relu", batch_first=True), 10), images((10, 6))
    front = nn.Sequential(nn.Conv1d(3, 8, 5, 2, 2), nn.BatchNorm1d(8), relu(), Take(lambda x: x.transpose(1, 2)))
    yield "conv-lstm", Recurrent(nn.LSTM(8, 8, batch_first=True), 8, before=front), images((3, 32))
    yield "transformer", nn.Sequential(
        *(nn.Linear(6, 16), nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)),
        *(Take(lambda x: x.mean(dim=1)), nn.Linear(16, 4)),
    ), images((10, 6))
    yield "vision-transformer", Patches(), images((3, 12, 12))
    yield "attention-heads", MultiHead(), images((9, 12))
    yield "attention-causal", nn.Sequential(SelfAttention(12, 3, True), nn.LayerNorm(12), nn.Linear(12, 4)), images((8, 12))
    yield "tcn", nn.Sequential(
        *(nn.Conv1d(4, 8, 1), Causal(8, 1), Causal(8, 2), Causal(8, 4)),
        *(Take(lambda x: x[:, :, -1]), nn.Linear(8, 3)),
    ), images((4, 40))
    yield "layernorm-gelu", nn.Sequential(nn.Linear(10, 24), nn.LayerNorm(24), nn.GELU(), nn.Linear(24, 24), nn.GELU("tanh"), nn.Linear(24, 3), nn.LogSoftmax(dim=1)), images((10,))
    yield "pixel-shuffle", nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 9, 3, padding=1), nn.PixelShuffle(3)), images((1, 10, 10))
    yield "pixel-unshuffle", nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 8, 3, padding=1), nn.ELU(), nn.AdaptiveMaxPool2d(1), nn.Flatten()), images((3, 12, 12))
    yield "adaptive-pools", nn.Sequential(nn.Conv2d(3, 6, 3), relu(), nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten(), nn.Linear(36, 4)), images((3, 14, 14))
    yield "groupnorm", nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, 2), nn.GroupNorm(1, 8), nn.Mish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), images((3, 12, 12))
    yield "instancenorm", nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True), relu(), nn.Conv2d(8, 4, 3, 2), nn.InstanceNorm2d(4), nn.Softplus()), images((3, 12, 12))
    yield "squeeze-excite", nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), Excite(8), nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.PReLU(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)), images((3, 20, 20))
    yield "convnext", nn.Sequential(nn.Conv2d(3, 8, 4, 4), ConvNext(8), ConvNext(8), Take(lambda x: x.mean([-2, -1])), nn.Linear(8, 4)), images((3, 28, 28))
    yield "channel-shuffle", nn.Sequential(nn.Conv2d(4, 8, 1, groups=2), Shuffle(), nn.Conv2d(8, 8, 3, padding=1, groups=8), relu(), nn.AvgPool2d(3, 2, 1), nn.Flatten(), nn.Linear(128, 3)), images((4, 8, 8))
    yield "keywords", nn.Sequential(
        *(nn.Conv2d(1, 8, (10, 4), (2, 2), (5, 1)), nn.BatchNorm2d(8), relu()),
        *(nn.Conv2d(8, 8, 3, padding="same", groups=8), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), relu()),
        *(nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(8, 4), nn.Softmax(dim=-1)),
    ), images((1, 49, 10))
    yield "autoencoder", nn.Sequential(nn.Conv1d(3, 8, 4, 2, 1), relu(), nn.Conv1d(8, 4, 4, 2, 1), relu(), nn.ConvTranspose1d(4, 8, 4, 2, 1), relu(), nn.ConvTranspose1d(8, 3, 4, 2, 1)), images((3, 32))
    yield "gated", nn.Sequential(nn.Conv1d(4, 16, 3, padding=1), nn.GLU(dim=1), nn.CELU(), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(128, 3)), images((4, 32))
    yield "speaker", nn.Sequential(nn.Conv1d(5, 8, 3, dilation=2), relu(), Pooling(8), nn.Linear(16, 6), Take(lambda x: F.normalize(x, dim=1))), images((5, 30))
    yield "circular", nn.Sequential(nn.Conv1d(3, 6, 3, padding=1, padding_mode="circular"), nn.SELU(), nn.Conv1d(6, 4, 3, padding=1, padding_mode="replicate"), nn.AdaptiveMaxPool1d(1), nn.Flatten()), images((3, 20))
    yield "dilated-pool", nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(3, 1, 1, dilation=1), nn.MaxPool2d(2, 2, dilation=2, ceil_mode=True), nn.Flatten(), nn.Linear(144, 3)), images((2, 12, 12))
    yield "volumes", nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), relu(), nn.MaxPool3d(2), nn.Conv3d(4, 6, (1, 3, 3)), relu(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 3)), images((1, 8, 10, 10))
    yield "words", Words(), lambda: torch.randint(20, (1, 9))


def save(name, exporter, net, make):
    inputs = [make() for _ in range(6)]
    with torch.no_grad():
        outputs = [net(x) for x in inputs]
    path = f"{folder}/{name}-{exporter}.onnx"
    torch.onnx.export(net, (inputs[0],), path, dynamo=exporter == "dynamo", input_names=["x"], **({"verbose": False} if exporter == "dynamo" else {"opset_version": 17}))
    numbers = lambda x: x.double().flatten().tolist()
    about = {
        "shape": list(inputs[0].shape),
        "inputs": [numbers(x) for x in inputs],
        "outputShape": list(outputs[0].shape),
        "outputs": [numbers(y) for y in outputs],
        "values": {},
    }
    with open(f"{folder}/{name}-{exporter}.json", "w") as file:
        json.dump(about, file)


chosen = sys.argv[2:]
index = {"version": torch.__version__, "names": [], "failed": {}}
for place, (name, net, make) in enumerate(networks()):
    if chosen and name not in chosen:
        continue
    torch.manual_seed(place)
    # Statistics of a few batches, as after training.
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.cat([make() for _ in range(4)]))
    net.eval()
    for exporter in ("script", "dynamo"):
        try:
            save(name, exporter, net, make)
            index["names"].append(f"{name}-{exporter}")
        except Exception as error:
            index["failed"][f"{name}-{exporter}"] = f"{type(error).__name__}: {error}".strip().split("\n")[0][:300]
with open(f"{folder}/index.json", "w") as file:
    json.dump(index, file)
