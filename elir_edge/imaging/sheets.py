"""Contact sheets: pictures in a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GAP = 4


def contact_sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """A grid of uint8 H x W x 3 pictures on white, 4 pixels apart; smaller ones are at the top left of their cells."""
    height = max(picture.shape[0] for row in rows for picture in row)
    width = max(picture.shape[1] for row in rows for picture in row)
    columns = max(len(row) for row in rows)
    sheet = np.full(((height + GAP) * len(rows) - GAP, (width + GAP) * columns - GAP, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + GAP), j * (width + GAP)
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet
