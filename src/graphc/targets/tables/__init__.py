"""Tables of what runtimes support, which ``read_documents.py`` makes from their vendors' documents."""
