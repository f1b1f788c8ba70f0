"""What reads files of others, each with whole files to begin from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.robustness.faults import SIDE, TINY, manifest, write_ir, write_onnx, write_tflite


@dataclass(frozen=True)
class Reader:
    """``seeds`` writes whole files into a folder; ``read`` reads the file at a path that has the name of a seed.

    ``native``: the tool runs this reader in a child process, so that a crash of it is no fault.
    """

    seeds: Callable[[Path], list[Path]]
    read: Callable[[Path], object]
    native: bool = False


def read_pth(path: Path) -> object:
    from elir_edge.families.checkpoint import read_checkpoint
    from elir_edge.families.registry import get_family

    return read_checkpoint(path, get_family("elir"))


def pth_seeds(folder: Path) -> list[Path]:
    import torch

    tensors = {f"enc.{i}.weight": torch.ones(2, 3, dtype=kind) for i, kind in enumerate((torch.float32, torch.float16))}
    lightning = {f"state_dict_{part}": {"a": torch.ones(3)} for part in ("enc", "mmse", "fmir", "dec")} | {"epoch": 3}
    torch.save(tensors, folder / "zip.pth")
    torch.save(tensors, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(lightning, folder / "lightning.ckpt")
    return sorted(folder.iterdir())


def safetensors_seeds(folder: Path) -> list[Path]:
    import torch
    from safetensors.torch import save_file

    tensors = {
        f"enc.{i}.weight": torch.ones(2, 3, dtype=kind) for i, kind in enumerate((torch.float32, torch.bfloat16))
    }
    save_file(tensors, folder / "a.safetensors", metadata={"format": "pt"})
    return sorted(folder.iterdir())


def read_yaml(path: Path) -> object:
    from elir_edge.families.spec import load_spec

    return load_spec(path)


def yaml_seeds(folder: Path) -> list[Path]:
    (folder / "a.yaml").write_text(TINY + "sigma_s: 0.1\nfamily: elir\n")
    return sorted(folder.iterdir())


def read_picture(path: Path) -> object:
    from elir_edge.imaging.pictures import read_picture

    pixels = read_picture(path)
    assert pixels.ndim == 3 and pixels.dtype == "uint8"
    return pixels


def picture_seeds(folder: Path) -> list[Path]:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "a.jpg", exif=exif)
    image.save(folder / "progressive.jpg", progressive=True)
    image.save(folder / "deflated.tif", compression="tiff_adobe_deflate")
    image.quantize(16).save(folder / "palette.png", transparency=3)
    image.convert("RGBA").save(folder / "a.webp")
    Image.fromarray(rng.integers(0, 65536, (9, 8), dtype=np.uint16)).save(folder / "deep.png")
    for name in ("a.png", "a.bmp", "a.ppm", "a.tif"):
        image.save(folder / name)
    return sorted(folder.iterdir())


def read_manifest(path: Path) -> object:
    """As ``inspect`` and ``restore`` rely on it."""
    from elir_edge.artifacts.artifact import Manifest
    from elir_edge.cli.inspect import rows_of

    found = Manifest.from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))
    rows_of(found)
    return found.model_spec()


def manifest_seeds(folder: Path) -> list[Path]:
    write_onnx(folder / "a.onnx")
    for name in ("a.onnx", "a.onnx.golden.zip"):
        (folder / name).unlink()
    return sorted(folder.iterdir())


def read_golden(path: Path) -> object:
    from elir_edge.artifacts.golden import read_golden

    golden = read_golden(path, manifest())
    assert golden.pixels.shape == (SIDE, SIDE, 3)
    return golden


def golden_seeds(folder: Path) -> list[Path]:
    write_onnx(folder / "a.onnx")
    for name in ("a.onnx", "a.onnx.json"):
        (folder / name).unlink()
    return sorted(folder.iterdir())


def runs_in(backend: str) -> Callable[[Path], object]:
    """What the tool's own child does with an artifact of a stranger: open it, and run it once."""

    def read(path: Path) -> object:
        from elir_edge.runtime.probe import try_out

        return try_out({"path": str(path), "backend": backend})

    return read


def read_inside(path: Path) -> object:
    """The manifest inside, which the tool reads in its own process."""
    from elir_edge.artifacts.artifact import Manifest
    from elir_edge.formats.embedded import embedded_manifest

    return Manifest.from_json(embedded_manifest(path) or "", str(path))


def onnx_seeds(folder: Path) -> list[Path]:
    return [write_onnx(folder / "a.onnx", beside=False)]


def ir_seeds(folder: Path) -> list[Path]:
    path = write_ir(folder / "a.xml", beside=False)
    return [path, path, path.with_suffix(".bin")]


def tflite_seeds(folder: Path) -> list[Path]:
    return [write_tflite(folder / "a.tflite")]


READERS = {
    "pth": Reader(pth_seeds, read_pth),
    "safetensors": Reader(safetensors_seeds, read_pth),
    "yaml": Reader(yaml_seeds, read_yaml),
    "pictures": Reader(picture_seeds, read_picture),
    "manifest": Reader(manifest_seeds, read_manifest),
    "golden": Reader(golden_seeds, read_golden),
    "onnx inside": Reader(onnx_seeds, read_inside),
    "ir inside": Reader(lambda folder: ir_seeds(folder)[:1], read_inside),
    "tflite inside": Reader(tflite_seeds, read_inside),
    "onnxruntime": Reader(onnx_seeds, runs_in("onnxruntime"), native=True),
    "openvino onnx": Reader(onnx_seeds, runs_in("openvino"), native=True),
    "openvino ir": Reader(ir_seeds, runs_in("openvino"), native=True),
    "litert": Reader(tflite_seeds, runs_in("litert"), native=True),
}
