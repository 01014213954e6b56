"""Services of the operating system: files, signals, cores, safe text for a terminal. Imports errors."""
