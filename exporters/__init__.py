"""One file per target format. Each holds ``TARGET`` and imports its heavy library inside its functions."""

ELIR_EDGE = True
