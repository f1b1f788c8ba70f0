"""Reading .tflite files: buffers inside the flatbuffer and behind it, and what is cut short."""

import flatbuffers
import numpy as np
import pytest

from elir_edge.errors import DataError
from elir_edge.formats.tflite.file import FILE_IDENTIFIER, load_schema, read_file, read_metadata
from tests.helpers import refusal
from tests.robustness.faults import write_tflite

TEXT = b"what the manifest says"


def as_bytes(model) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


@pytest.fixture
def behind(tmp_path):
    """A file whose metadata lies behind the flatbuffer, as converters write files of more than 2 GB."""
    schema = load_schema()
    model = read_file(write_tflite(tmp_path / "a.tflite"))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.offset, buffer.size = 2, len(TEXT)
    entry.name, entry.buffer = "theirs", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    buffer.offset = len(as_bytes(model))
    path = tmp_path / "behind.tflite"
    path.write_bytes(as_bytes(model) + TEXT)
    return path


def test_metadata_is_read_from_behind_the_flatbuffer(behind):
    assert read_metadata(behind, "theirs") == TEXT.decode()
    assert read_metadata(behind, "other") is None
    assert np.asarray(read_file(behind).buffers[-1].data).tobytes() == TEXT


@pytest.mark.parametrize("read", [read_file, lambda path: read_metadata(path, "theirs")])
def test_a_buffer_that_ends_beyond_the_file(behind, read):
    behind.write_bytes(behind.read_bytes()[:-1])
    refusal(DataError, lambda: read(behind), behind.name, "cut short", "copy it again")
