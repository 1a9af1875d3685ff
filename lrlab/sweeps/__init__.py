"""Many runs: asked for, planned, carried out, shown."""
