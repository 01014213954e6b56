"""The built-in passes, one a file, on graphc's public API alone. Modules without a leading underscore are found."""
