"""Tasks in a shell: AgentBench's operating-system records, and a generator of tasks of our own."""
