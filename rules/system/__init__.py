"""Whether the machine is the bottleneck: waiting, memory, time."""
