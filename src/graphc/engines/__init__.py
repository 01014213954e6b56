"""Runs work that needs more than one process: in processes of this machine, or on a Dask cluster."""
