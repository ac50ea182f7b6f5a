"""What a run is, and how it is done: the job, its plan, the main loop, outputs, and batches in many processes."""
