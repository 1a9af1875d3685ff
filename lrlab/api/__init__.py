"""The functions behind `import lrlab`: what a notebook, or a training loop of somebody's own, asks of lrlab."""
