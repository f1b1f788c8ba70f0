"""Forms of norms: one op, or means and pointwise convolutions without transpose and reshape."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor, nn

from elir_edge.errors import UsageError
from elir_edge.families.networks.channel_norm import ChannelNorm


class NormForm(StrEnum):
    """The form of GroupNorm and of LayerNorm over channels in a static graph.

    ``native``: each is one op. ``means``: LayerNorm is means over channels, without the transposes that the op needs;
    GroupNorm stays one op. ``pointwise``: both are means and pointwise convolutions.
    """

    NATIVE = "native"
    MEANS = "means"
    POINTWISE = "pointwise"

    @classmethod
    def parse(cls, text: str) -> NormForm:
        """The form called ``text``. Raises UsageError where there is none."""
        if text not in list(cls):
            raise UsageError(f"norm '{text}' is not one of {', '.join(cls)}", hint="choose one of these")
        return cls(text)


class PointwiseGroupNorm(nn.Module):
    """GroupNorm of N x C x ... by spatial means and 1x1 convolutions: at most 4-D, independent of the layout.

    ``gather`` averages the channels of a group, ``spread`` copies a group's value to its channels, ``scale`` is
    ``spread`` times the affine weight. Channels are averaged before the spatial mean: a mean over 32 groups costs NPU
    and CPU less than one over all channels.
    """

    def __init__(self, norm: nn.GroupNorm, gather: nn.Parameter, spread: nn.Parameter) -> None:
        super().__init__()
        like = spread.detach()[:, 0, 0, 0]
        weight = torch.ones_like(like) if norm.weight is None else norm.weight.detach()
        bias = torch.zeros_like(like) if norm.bias is None else norm.bias.detach()
        self.gather, self.spread = gather, spread
        self.scale = _frozen(spread.detach() * weight[:, None, None, None])
        self.bias = _frozen(bias[None, :, None, None])
        self.eps = _frozen(torch.full_like(weight[: norm.num_groups], norm.eps))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            return self.forward(x.reshape(*x.shape[:2], -1, 1)).reshape(x.shape)
        mean = nn.functional.conv2d(x, self.gather).mean((2, 3), keepdim=True)
        centred = x - nn.functional.conv2d(mean, self.spread)
        variance = nn.functional.conv2d(centred * centred, self.gather, self.eps).mean((2, 3), keepdim=True)
        return centred * nn.functional.conv2d(torch.rsqrt(variance), self.scale) + self.bias


class MeansChannelNorm(nn.Module):
    """LayerNorm over channels, N x C x H x W, as means over axis 1."""

    def __init__(self, norm: ChannelNorm) -> None:
        super().__init__()
        self.weight = _frozen(norm.weight.detach()[None, :, None, None].clone())
        self.bias = _frozen(norm.bias.detach()[None, :, None, None].clone())
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self._mean(x)
        return centred * torch.rsqrt(self._variance(centred * centred)) * self.weight + self.bias

    def _mean(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True)

    def _variance(self, squares: Tensor) -> Tensor:
        return squares.mean(1, keepdim=True) + self.eps


class PointwiseChannelNorm(MeansChannelNorm):
    """The same; a mean is a 1x1 convolution to one channel: NPUs reduce the last axis of NHWC in no other way."""

    def __init__(self, norm: ChannelNorm) -> None:
        super().__init__(norm)
        channels = norm.weight.numel()
        self.gather = _frozen(torch.full_like(self.weight, 1 / channels))
        self.floor = _frozen(torch.full_like(norm.weight[:1], norm.eps))

    def _mean(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.gather)

    def _variance(self, squares: Tensor) -> Tensor:
        return nn.functional.conv2d(squares, self.gather, self.floor)


def set_norm_form(graph: nn.Module, form: NormForm) -> None:
    """Replace every GroupNorm and ChannelNorm of ``graph``, in place, by its ``form``.

    Requires: nothing. Guarantees: the same function up to rounding. Norms that shared weights share the new module;
    norms of equal width share their group matrices.
    """
    if form is NormForm.NATIVE:
        return
    made: dict[tuple[int, ...], nn.Module] = {}
    matrices: dict[tuple[int, int], tuple[nn.Parameter, nn.Parameter]] = {}
    for parent in list(graph.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.GroupNorm) and form is NormForm.POINTWISE:
                key = (norm.num_channels, norm.num_groups)
                gather, spread = matrices.setdefault(key, _group_matrices(norm))
                setattr(parent, name, made.setdefault(_identity(norm), PointwiseGroupNorm(norm, gather, spread)))
            elif isinstance(norm, ChannelNorm):
                kind = PointwiseChannelNorm if form is NormForm.POINTWISE else MeansChannelNorm
                setattr(parent, name, made.setdefault((id(norm.weight),), kind(norm)))


def _identity(norm: nn.GroupNorm) -> tuple[int, ...]:
    """Equal for norms that share their weights and compute the same; a norm without weights is equal to itself only."""
    return (id(norm),) if norm.weight is None else (id(norm.weight), id(norm.bias), norm.num_groups)


def _group_matrices(norm: nn.GroupNorm) -> tuple[nn.Parameter, nn.Parameter]:
    channels, groups = norm.num_channels, norm.num_groups
    member = torch.eye(groups).repeat_interleave(channels // groups, 0).to(norm.weight)
    gather = member.T * (groups / channels)
    return _frozen(gather[:, :, None, None].contiguous()), _frozen(member[:, :, None, None].contiguous())


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
