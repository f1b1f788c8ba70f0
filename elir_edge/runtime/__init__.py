"""What runs an artifact: a session, and one file per runtime. Only the torch backends import torch."""
