"""Tables of what runtimes take, from their vendors' documents. ``read_documents.py`` reads them."""
