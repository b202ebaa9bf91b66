"""Probes measure: they read what passes by, write it to the journal, and have no opinion."""
