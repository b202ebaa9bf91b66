"""Gradients that are nearly all zeros: a plug-in with a signal, a probe and a rule."""
