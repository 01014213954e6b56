"""The built-in passes, one in each file, on graphc's public API only. Modules named ``_…`` hold no passes."""
