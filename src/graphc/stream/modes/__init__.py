"""Options of a lift, one file each: dynamic chunks, clocks per stream, limited attention, cached inputs, given states.

Imports propagation.
"""
