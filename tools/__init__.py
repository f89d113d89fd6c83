"""What is run beside the pipeline: by people, before and after it."""
