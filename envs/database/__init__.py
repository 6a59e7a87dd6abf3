"""Tasks over tables, answered by SQL: AgentBench's records and a generator of our own."""
