"""Names inside files and folders of the formats, which targets write and backends look for."""

from __future__ import annotations

WEB_MODEL = "model.onnx"  # of a .web folder
FORWARD, STAGES = "forward", "stages"  # methods of a .pte file
