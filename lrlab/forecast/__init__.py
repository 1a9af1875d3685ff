"""Laws of loss curves: what another LR schedule would have led to, said from the curve of one that was trained."""
