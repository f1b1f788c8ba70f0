"""Reading and writing picture files as RGB arrays."""

from __future__ import annotations

import io
import warnings
from importlib import resources
from pathlib import Path

import numpy as np

from elir_edge.core.publish import write_file
from elir_edge.errors import MORE_MEMORY, DataError, MissingInputError, OutputError, ResourceError, UsageError

MAX_PIXELS = 178_000_000
MAX_16_BITS = 65535
READ_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
READ_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
WRITE_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
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
    """Write ``pixels``, uint8 H x W x 3, in the format of the suffix of ``path``, completely or not at all.

    Raises UsageError for an unknown suffix, OutputError where the format cannot hold the picture, OutputError or
    StorageError where the file cannot be written.
    """
    from PIL import Image

    path = Path(path)
    encoded = io.BytesIO()
    options = {"quality": 95} if picture_format(path) in ("JPEG", "WEBP") else {}
    try:
        Image.fromarray(pixels).save(encoded, picture_format(path), **options)
    except (OSError, ValueError) as error:
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise OutputError(f"{path}: {size} pixels do not fit into this format ({error})", hint="use .png") from error
    write_file(path, encoded.getvalue())


def picture_format(path: Path) -> str:
    """Pillow's name of the format for the suffix of ``path``. Raises UsageError for an unknown suffix."""
    suffix = path.suffix.lower()
    if suffix not in WRITE_FORMATS:
        raise UsageError(f"{path}: cannot write '{suffix}' pictures", hint=f"known: {', '.join(WRITE_FORMATS)}")
    return WRITE_FORMATS[suffix]


def pictures_in(folder: Path) -> list[Path]:
    """Picture files directly inside ``folder``, sorted.

    Raises MissingInputError where there is no such folder, DataError where it has no picture files.
    """
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such folder", hint="check the name")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in READ_SUFFIXES and path.is_file())
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
