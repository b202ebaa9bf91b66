"""What a drill may change and how each kind of it is put back: tensors, containers, generators, settings."""
