"""Where work runs that outgrows one process: processes of this machine, or a Dask cluster."""
