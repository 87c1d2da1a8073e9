"""What an operator runs: the stack, the doctor, dead letters, topics, photos in, the demo."""
