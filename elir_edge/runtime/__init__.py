"""Running artifacts: sessions, one file per runtime. Only the backends of torch runtimes import torch."""
