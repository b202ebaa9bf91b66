"""What a person sees: the terminal, later plots and pages. Reads, never measures or judges."""
