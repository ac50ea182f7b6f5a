"""What works on a machine, and the remedy of what does not."""
