"""What a run consists of, captured so that it can be understood and redone: code, environment, data, randomness."""
