"""The forms that rules share: windows, recurrences, subgraphs. Imports boundary and evaluation."""
