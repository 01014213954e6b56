"""Loops and branches: picks of frames, conditions and iterations, written as ops and Scans."""
