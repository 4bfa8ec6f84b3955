"""``python -m bacalhau_cli`` is the same as ``bacalhau``."""

from bacalhau_cli.main import main

main()
