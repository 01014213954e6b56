"""Parts of lowerings that several rules share: windows, recurrences, subgraphs. Imports boundary and evaluation."""
