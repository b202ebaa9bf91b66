"""What is known of classes: who is taken for whom, recall, counts and weights."""
