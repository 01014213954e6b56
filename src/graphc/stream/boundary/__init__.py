"""The frames that ops give before and after a stream. Imports lowering.

``lowering/mask_missing_frames.py`` masks such frames within a call.
"""
