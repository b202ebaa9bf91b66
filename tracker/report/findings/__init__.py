"""What a rule looked at when it found something: its curves, levels and facts, and the words of its story."""
