"""What clients may do: one table of operations, from which HTTP and JSON-RPC are both made. One file for each theme."""
