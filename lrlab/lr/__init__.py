"""What the learning rate will be and what it was: lengths, plans, audits, warnings, schedulers of our own."""
