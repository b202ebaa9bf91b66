"""Pictures, and how they are drawn and said: lines, heat maps, strips, what is marked along the steps."""
