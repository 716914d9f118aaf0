"""Groups, messages, signalling, calls and users' attributes: what operations ask for, by the engine. No wire."""
