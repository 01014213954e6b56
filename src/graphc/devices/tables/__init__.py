"""What vendors' documents say that runtimes take, as tables; ``read_documents.py`` reads them."""
