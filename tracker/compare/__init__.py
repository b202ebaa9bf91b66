"""Two runs beside each other: what was different before they began, and the first number that came out different."""
