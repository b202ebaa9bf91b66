"""The page of two models beside each other."""
