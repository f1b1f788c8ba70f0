"""One file per target format. Each has ``TARGET`` and imports its converter inside its functions."""

ELIR_EDGE = True
