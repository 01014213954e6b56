"""The built-in passes, one per file. They use only graphc's public API. Modules named ``_…`` contain no passes."""
