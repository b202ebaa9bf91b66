"""Two runs side by side: what differs between them, where their numbers part, and their curves over each other."""
