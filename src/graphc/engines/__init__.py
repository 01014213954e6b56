"""Runs work that is too much for one process: in processes of this machine, or on a Dask cluster."""
