"""What runs showed, and what may be claimed of it."""
