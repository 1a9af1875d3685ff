"""Figures, and pictures in a terminal."""
