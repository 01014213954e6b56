"""From a spec to the files beside its output. Imports passes and measure."""
