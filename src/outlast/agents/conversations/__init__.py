"""Agents that one can talk to: actors with a mailbox and a durable conversation per key.

entries       what is stored of a conversation, and how its actor reads and adds to it
window        what of it the model is told, and where it may be cut
compaction    the summary that stands for what is cut
interruption  ending a response of a model in the midst of it
questions     what a turn asks people, as its conversation shows it
forking       a conversation that begins with a part of another one
turn          one run of the agent: from a message to its answer
agent_actor   `AgentActor`
observing     following a conversation, with what is said right now
"""
