"""What users write: workflows, steps, and how their own classes are stored."""
