"""An actor in memory: its mailbox, one message after another, each a short run."""
