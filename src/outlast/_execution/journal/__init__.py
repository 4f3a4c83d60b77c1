"""What a run has recorded, and what others have sent it: read, appended, compared."""
