"""How clients reach the operations: HTTP, and JSON-RPC over one WebSocket for each device."""
