"""What the machine offers: processes, disks, locks, signals, random numbers, memory."""
