"""What a batch of transactions does to tables, decided without looking at any."""
