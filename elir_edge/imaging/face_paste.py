"""A restored face back into its picture, with a soft mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elir_edge.imaging.face_frame import FaceFrame, Window, load_cv2
from elir_edge.imaging.levels import from_levels, to_levels

SHARPNESS = 4  # how clearly neighbouring faces are told apart where their masks meet
TINY = 1e-30  # below, 32 bits are not exact
OCTAVE = 4  # photographs have a quarter of the power at twice the frequency, noise has as much


def paste_face(
    pixels: np.ndarray,
    frames: Sequence[FaceFrame],
    place: int,
    before: np.ndarray,
    after: np.ndarray,
    behind: np.ndarray,
) -> None:
    """Put face ``place`` of ``frames`` into ``pixels``, uint8 or uint16 H x W x C, in place.

    Args:
        before, after: the face in the template, unrestored and restored, float32 512 x 512 x c, 0..255; c is C or 1.
        behind: what ``pixels`` was before the first face came, of its shape and type.

    With T for the way from the template into the picture, m for the mask, and k from 0 to 1 for the part of its finest
    detail that restoring left in the face: pixels += m * (T(after - k * before) - (1 - k) * behind). Detail that the
    template cannot hold, behind - T(before), so stays as far as restoring would have left it. Where nothing was
    restored, nothing changes.
    """
    frame = frames[place]
    window = frame.window((pixels.shape[0], pixels.shape[1]))
    if window is None:
        return
    kept = np.float32(kept_detail(before, after, frame.scale))
    change = frame.placed_face(after - kept * before, window)
    if kept < 1:
        change -= (1 - kept) * to_levels(behind[window.slices])
    patch = pixels[window.slices]
    patch[...] = from_levels(to_levels(patch) + face_weight(frames, place, window)[..., None] * change, pixels.dtype)


def kept_detail(before: np.ndarray, after: np.ndarray, scale: float) -> float:
    """The part of the detail beyond the template that restoring would keep, 0 to 1; 1 where it changed nothing.

    ``scale``: pixels of the picture by pixel of the template. Of the finest detail inside, restoring kept the part
    g = <before, after> / <before, before>, which for noise is signal / (signal + noise), as of Wiener's filter. An
    octave further up the signal is ``OCTAVE`` times weaker: g / (g + OCTAVE (1 - g)).
    """
    blur = max(1.0, 1 / scale)
    fine, left = (_without_coarse(face, blur) for face in (before, after))
    power = float((fine * fine).sum())
    part = min(1.0, max(0.0, float((fine * left).sum()) / power)) if power > 0 else 1.0
    return part / (part + OCTAVE * (1 - part))


def _without_coarse(face: np.ndarray, blur: float) -> np.ndarray:
    coarse: np.ndarray = load_cv2().GaussianBlur(face, (0, 0), blur).reshape(face.shape)
    return (face - coarse).astype(np.float64)


def face_weight(frames: Sequence[FaceFrame], place: int, window: Window) -> np.ndarray:
    """The weight of face ``place`` in ``window``, float32, at most its mask; those of all faces sum to at most 1.

    w_i = m_i^5 / sum_j m_j^4: where masks meet, the face that a pixel is nearest to the middle of has most of it.
    """
    own = frames[place].mask(window)
    everyone = sum(frame.mask(window) ** SHARPNESS for frame in frames if frame.reaches(window))
    return np.divide(own ** (SHARPNESS + 1), everyone, out=np.zeros_like(own), where=everyone > TINY)
