"""How drills are done: on what, in which order, and how everything is put back; what they measure is in `drills`."""
