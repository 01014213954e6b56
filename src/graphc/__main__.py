"""``python -m graphc``."""

from graphc.supervised import main

main()
