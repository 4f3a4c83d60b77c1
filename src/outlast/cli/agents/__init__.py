"""`outlast agent`: agents that one can talk to, from the command line.

commands   chat, ls, show, stop
chatting   a conversation at a terminal, or through a pipe
talks      who is talked to: an agent of this process, or one at a server
showing    entries and events of a conversation as text
typing     the lines that the user types
"""
