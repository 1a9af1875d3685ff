"""What is typed: one file a command, and how all of them start and end."""
