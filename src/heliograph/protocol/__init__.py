"""What the servers say to each other through the drive: signals, events, and what is put aside."""
