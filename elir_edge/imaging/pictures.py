"""Reading and writing picture files as RGB arrays."""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path

import numpy as np

from elir_edge.core.publish import publish, staging
from elir_edge.errors import MORE_MEMORY, DataError, MissingInputError, OutputError, ResourceError
from elir_edge.imaging.file_formats import format_of_target
from elir_edge.imaging.levels import as_channels
from elir_edge.imaging.opening import opened_array
from elir_edge.imaging.saving import DEFAULT_QUALITY, layout_for, save_picture

MAX_PIXELS = 178_000_000
MAX_16_BITS = 65535
READ_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
READ_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def read_picture(path: str | Path) -> np.ndarray:
    """The picture at ``path`` as uint8 H x W x 3, RGB 0..255.

    Conversions: EXIF rotation is applied; transparency is blended onto white; palette and CMYK become RGB; grey is
    repeated; 16-bit values keep their upper 8 bits; of a multi-picture JPEG (MPO) the first picture is read.

    Raises MissingInputError where there is no file. Raises DataError for a file that is damaged or cut short, that is
    not JPEG, PNG, WebP, BMP, TIFF or PPM, or that has more than 178 million pixels, more than 16 bits, or several pages
    or frames.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise MissingInputError(f"{path}: no such picture", hint="check the name")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=READ_FORMATS) as image:
                _check(image, path)
                image.load()
                return _rgb(ImageOps.exif_transpose(image), path)
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: not a picture of a known format, or damaged", hint=f"known: {', '.join(READ_FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: more than {MAX_PIXELS} pixels", hint="cut it into parts, or scale it down first"
        ) from error
    except PermissionError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror})", hint="check its permissions") from error
    except MemoryError as error:
        raise ResourceError(f"{path}: not enough memory to read it", hint=MORE_MEMORY) from error
    except (OSError, SyntaxError, ValueError, EOFError, TypeError) as error:  # TypeError: a TIFF without sides
        raise DataError(f"{path}: damaged or cut short ({error})", hint="copy it again, or leave it out") from error


def write_picture(path: str | Path, pixels: np.ndarray) -> None:
    """Write ``pixels`` in the format of the suffix of ``path``, completely or not at all, as results are written.

    ``pixels``: uint8 or uint16, H x W or H x W x 1 to 4 channels (grey, grey and alpha, RGB, RGB and alpha). Raises
    UsageError for other arrays and an unknown suffix, OutputError where the format cannot hold the picture, OutputError
    or StorageError where the file cannot be written.
    """
    path, shaped = Path(path), as_channels(pixels)
    target = format_of_target(path)
    facts = opened_array(path, shaped)
    layout = layout_for(facts, target)
    if layout.lost:
        raise OutputError(f"{path}: {layout.lost[0]}", hint="write a .png, or convert the array first")
    if layout.channels > shaped.shape[2]:  # grey for a format without grey
        shaped = np.concatenate([np.repeat(shaped[..., :1], 3, axis=2), shaped[..., 1:]], axis=2)
    with staging(path) as folder:
        save_picture(folder / path.name, shaped, target, facts, DEFAULT_QUALITY)
        publish(path, [folder / path.name])


def pictures_in(folder: Path) -> list[Path]:
    """Picture files directly inside ``folder``, sorted, without hidden ones (left by file managers).

    Raises MissingInputError where there is no such folder, DataError where it has no picture files.
    """
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such folder", hint="check the name")
    files = (path for path in folder.glob("[!.]*") if path.is_file())
    found = sorted(path for path in files if path.suffix.lower() in READ_SUFFIXES)
    if not found:
        raise DataError(f"{folder}: holds no pictures", hint=f"looked for {', '.join(READ_SUFFIXES)}")
    return found


def builtin_photograph(name: str) -> np.ndarray:
    """The photograph ``name`` of ``PHOTOGRAPHS``, which come with the package; uint8 H x W x 3."""
    return read_picture(Path(str(resources.files("elir_edge.imaging") / "data" / f"{name}.jpg")))


def fit_picture(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale ``pixels`` (bicubic) to cover ``height`` x ``width`` pixels and cut out the centre; uint8 H x W x 3."""
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.BICUBIC))


def _check(image, path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{path}: {image.width} x {image.height} pixels, more than {MAX_PIXELS} in all",
            hint="cut it into parts, or scale it down first",
        )
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > 1:
        raise DataError(
            f"{path}: {frames} pages or frames; only single pictures are read",
            hint="save one page or frame as a picture of its own",
        )


def _rgb(image, path: Path) -> np.ndarray:  # type: ignore[no-untyped-def]  # noqa: ANN001
    from PIL import Image

    if image.mode == "F":
        raise DataError(f"{path}: floating point pixels, whose range is not known", hint="save it with 8 or 16 bits")
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > MAX_16_BITS:
            raise DataError(f"{path}: pixels of 32 bits", hint="save it with 8 or 16 bits")
        image = Image.fromarray((grey // 256).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))
