"""``python -m graphc``."""

from graphc.cli.child_process import main

main()
