"""The profiles: each measures one thing beside its floor."""
