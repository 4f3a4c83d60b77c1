"""What agents may spend: limits that hold over crashes, children and concurrent runs."""
