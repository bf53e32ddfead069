"""PyTorch's side of the comparison: the same models and the same step, run by another interpreter.

    PYTHON pytorch.py MODEL BATCH THREADS

Its first line of output is its version and the number of parameters. Then it reads lines `VARIANT STEPS` and answers
each with the milliseconds of a step, VARIANT being eager or compiled, and `product SIDE` with those of a product of two
square matrices. It imports nothing of jaxvision, which does not import it either: torch is no dependency.
"""

import collections
import sys
import time

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

CLASSES = 10
EXAMPLES = 2048
CELLS = 8.0  # Of centre sampling: what a level answers for, half of the longer side.


def conv(inputs, outputs, kernel=3, stride=1, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)


def conv_norm(inputs, outputs, activation=nn.ReLU, **values):
    return nn.Sequential(conv(inputs, outputs, **values), nn.BatchNorm2d(outputs), activation())


def mlp(shape):
    size = shape[0] * shape[1] * shape[2]
    return nn.Sequential(
        nn.Flatten(), nn.Linear(size, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, CLASSES)
    )


def stages(channels, filters):
    parts = []
    for count in filters:
        parts.append(nn.Sequential(conv_norm(channels, count), conv_norm(count, count), nn.MaxPool2d(2)))
        channels = count
    return parts


def cnn(shape):
    height, width, channels = shape
    return nn.Sequential(
        *stages(channels, (32, 64, 128)), nn.Flatten(), nn.Linear(128 * (height // 8) * (width // 8), CLASSES)
    )


class Block(nn.Module):
    """Two convolutions, or three with a bottleneck, beside a shortcut: zero channels (CIFAR), or a projection."""

    def __init__(self, inputs, outputs, stride, projection, bottleneck=False):
        super().__init__()
        inner = outputs // 4 if bottleneck else outputs
        parts = [conv_norm(inputs, inner, kernel=1)] if bottleneck else []
        parts += [conv_norm(inner if bottleneck else inputs, inner, stride=stride)]
        parts += [conv(inner, outputs, kernel=1 if bottleneck else 3), nn.BatchNorm2d(outputs)]
        self.body = nn.Sequential(*parts)
        self.stride, self.extra, self.shortcut = stride, outputs - inputs, None
        if projection and (stride > 1 or self.extra):
            self.shortcut = nn.Sequential(conv(inputs, outputs, kernel=1, stride=stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.body(x)
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.extra:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        return F.relu(x + y)


def resnet(shape, counts, first, projection, bottleneck=False):
    parts, channels, expansion = [conv_norm(shape[2], first)], first, 4 if bottleneck else 1
    if bottleneck:  # On large images.
        parts = [conv_norm(shape[2], first, kernel=7, stride=2), nn.MaxPool2d(3, 2, 1)]
    for stage, blocks in enumerate(counts):
        for index in range(blocks):
            stride = 2 if stage and not index else 1
            parts.append(Block(channels, first * 2**stage * expansion, stride, projection, bottleneck))
            channels = first * 2**stage * expansion
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


class Attention(nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.heads, self.inward, self.outward = heads, nn.Linear(features, 3 * features), nn.Linear(features, features)

    def forward(self, x):
        batch, tokens, features = x.shape
        split = self.inward(x).view(batch, tokens, 3, self.heads, features // self.heads).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(*split)
        return self.outward(found.transpose(1, 2).reshape(batch, tokens, features))


class TransformerBlock(nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.first, self.attention = nn.LayerNorm(features), Attention(features, heads)
        self.second = nn.LayerNorm(features)
        self.perceptron = nn.Sequential(nn.Linear(features, 4 * features), nn.GELU(), nn.Linear(4 * features, features))

    def forward(self, x):
        x = x + self.attention(self.first(x))
        return x + self.perceptron(self.second(x))


class ViT(nn.Module):
    def __init__(self, shape, patch=4, features=192, layers=6, heads=3):
        super().__init__()
        self.patches = nn.Conv2d(shape[2], features, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, features))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + (shape[0] // patch) * (shape[1] // patch), features))
        self.blocks = nn.Sequential(*(TransformerBlock(features, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(features), nn.Linear(features, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class Head(nn.Module):
    """A branch for the class, one for box and objectness."""

    def __init__(self, features):
        super().__init__()
        self.what, self.where = (
            nn.Sequential(*(conv_norm(features, features, nn.SiLU) for _ in range(2))) for _ in range(2)
        )
        self.logits = nn.Conv2d(features, CLASSES, 1)
        self.place, self.objectness = nn.Conv2d(features, 4, 1), nn.Conv2d(features, 1, 1)

    def forward(self, x):
        what, where = self.what(x), self.where(x)
        rows = (self.logits(what), self.place(where), self.objectness(where))
        return [row.flatten(2).transpose(1, 2) for row in rows]


class Detector(nn.Module):
    """Encoder, feature pyramid, a head a level: class logits, boxes and objectness of every cell."""

    def __init__(self, shape, filters=(16, 32, 64, 128), features=64, levels=3):
        super().__init__()
        self.stages = nn.ModuleList(stages(shape[2], filters))
        chosen = filters[-levels:]
        self.lateral = nn.ModuleList(conv_norm(count, features, nn.SiLU, kernel=1) for count in chosen)
        self.smooth = nn.ModuleList(conv_norm(features, features, nn.SiLU) for _ in chosen[:-1])
        self.heads = nn.ModuleList(Head(features) for _ in chosen)
        points, sizes = [], []
        for level in range(len(filters) - levels, len(filters)):
            side = shape[0] // 2 ** (level + 1)
            middle = (torch.arange(side) + 0.5) / side
            points.append(torch.stack(torch.meshgrid(middle, middle, indexing='ij'), -1).reshape(-1, 2))
            sizes.append(torch.full((side * side, 2), 1 / side))
        self.register_buffer('points', torch.cat(points))
        self.register_buffer('sizes', torch.cat(sizes))

    def forward(self, x):
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        maps = [lateral(x) for lateral, x in zip(self.lateral, found[-len(self.lateral) :], strict=True)]
        for index in range(len(maps) - 2, -1, -1):
            coarse = F.interpolate(maps[index + 1], size=maps[index].shape[2:], mode='nearest')
            maps[index] = self.smooth[index](maps[index] + coarse)
        by_level = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        logits, place, objectness = (torch.cat(parts, 1) for parts in zip(*by_level, strict=True))
        centre = self.points + place[..., :2] * self.sizes
        half = torch.exp(place[..., 2:].clamp(-6, 6)) * self.sizes / 2
        return logits, torch.cat([centre - half, centre + half], -1), objectness[..., 0]

    def loss(self, outputs, boxes, classes, valid):
        """Centre sampling; cross-entropies and GIoU; boxes [batch, object, 4], classes and valid [batch, object]."""
        logits, predicted, objectness = outputs
        with torch.no_grad():
            positive, target = self.assign(boxes, valid)
        share = valid.sum().clamp(min=1) / len(valid)
        wanted = torch.gather(boxes, 1, target[..., None].expand(-1, -1, 4))
        labels = F.one_hot(torch.gather(classes, 1, target), CLASSES).float()
        by_class = F.binary_cross_entropy_with_logits(logits, labels, reduction='none').sum(-1)
        by_box = 1 - giou(predicted, wanted)
        seen = F.binary_cross_entropy_with_logits(objectness, positive.float(), reduction='none')
        return (torch.where(positive, by_class + by_box, 0.0) + seen).sum(1).mean() / share

    def assign(self, boxes, valid):
        """Which object [batch, cell] each cell answers for, and whether it does."""
        low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
        middle, extent = (low + high) / 2, high - low
        half = (extent / self.sizes).amax(-1) / 2
        finest, coarsest = self.sizes[:, 0] == self.sizes.min(), self.sizes[:, 0] == self.sizes.max()
        fits = ((half >= CELLS / 2) | finest) & ((half < CELLS) | coarsest)
        inside = ((low <= self.points) & (self.points <= high)).all(-1)
        away = ((self.points - middle).abs() / self.sizes).amax(-1)
        near = fits & ((inside & (away <= 1.5)) | (away <= 0.501)) & valid[:, :, None]
        cost = torch.where(near, extent.prod(-1).expand_as(near), torch.inf)
        return near.any(1), cost.argmin(1)


def giou(one, other):
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1) - shared
    hull = (torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])).prod(-1)
    return shared / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


MODELS = {
    'mlp': ((28, 28, 1), mlp),
    'vit': ((32, 32, 3), ViT),
    'cnn': ((32, 32, 3), cnn),
    'resnet20': ((32, 32, 3), lambda shape: resnet(shape, (3, 3, 3), 16, False)),
    'resnet18': ((32, 32, 3), lambda shape: resnet(shape, (2, 2, 2, 2), 64, True)),
    'detector': ((128, 128, 3), Detector),
    'resnet50': ((224, 224, 3), lambda shape: resnet(shape, (3, 4, 6, 3), 64, True, True)),
    'vit_s16': ((224, 224, 3), lambda shape: ViT(shape, 16, 384, 12, 6)),
}
HALF = ('resnet50', 'vit_s16')  # Computed in bfloat16, with weights in float32.


class Side:
    """A model, its data on the device, and its step, compiled or not."""

    def __init__(self, name, batch, compiled, device):
        torch.manual_seed(0)
        shape, build = MODELS[name]
        self.batch, self.device = batch, device
        self.model = build(shape).to(device, memory_format=torch.channels_last)
        self.images = torch.randint(0, 256, (EXAMPLES, *shape), dtype=torch.uint8, device=device)
        self.labels = torch.randint(0, CLASSES, (EXAMPLES,), device=device)
        self.boxes = None
        if name == 'detector':
            corner, extent = 0.5 * torch.rand(EXAMPLES, 6, 2), 0.1 + 0.4 * torch.rand(EXAMPLES, 6, 2)
            self.boxes = torch.cat([corner, corner + extent], -1).to(device)
            self.classes = torch.randint(0, CLASSES, (EXAMPLES, 6), device=device)
            self.valid = torch.rand(EXAMPLES, 6, device=device) < 0.5
        fused = True if device == 'cuda' else None
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9, fused=fused)
        self.half = name in HALF
        self.objective = torch.compile(self.loss) if compiled else self.loss

    def loss(self, ids):
        # Stored as ours are, [n, height, width, channel]: seen from here, that is channels_last.
        x = self.images[ids].permute(0, 3, 1, 2).float() / 255
        with torch.autocast(self.device, torch.bfloat16, self.half):
            outputs = self.model((x - 0.5) / 0.25)
        if self.boxes is None:
            return F.cross_entropy(outputs, self.labels[ids])
        return self.model.loss(outputs, self.boxes[ids], self.classes[ids], self.valid[ids])

    def step(self, ids):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.objective(ids)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def milliseconds(self, steps):
        ids = [torch.randint(0, EXAMPLES, (self.batch,), device=self.device) for _ in range(steps)]
        recent = collections.deque(maxlen=2)
        wait(self.device)
        started = time.perf_counter()
        for one in ids:
            recent.append(self.step(one))
        wait(self.device)
        return 1e3 * (time.perf_counter() - started) / steps


def product(side, device, dtype):
    """Milliseconds of the best of three."""
    factor, found = torch.randn(side, side, device=device).to(dtype), []
    for _ in range(3):
        wait(device)
        started = time.perf_counter()
        torch.matmul(factor, factor)
        wait(device)
        found.append(time.perf_counter() - started)
    return 1e3 * min(found)


def wait(device):
    if device == 'cuda':
        torch.cuda.synchronize()


def main():
    name, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.benchmark = True  # As XLA does.
    sides = {}
    count = sum(parameter.numel() for parameter in MODELS[name][1](MODELS[name][0]).parameters())
    print(torch.__version__, count, flush=True)
    for line in sys.stdin:
        variant, steps = line.split()
        if variant == 'product':
            print(product(int(steps), device, torch.bfloat16 if name in HALF else torch.float32), flush=True)
            continue
        if variant not in sides:
            sides[variant] = Side(name, batch, variant == 'compiled', device)
        print(sides[variant].milliseconds(int(steps)), flush=True)


if __name__ == '__main__':
    main()
