"""What a person sees: the terminal, and pages of runs. Reads, never measures or judges."""
