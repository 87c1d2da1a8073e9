"""What an operator does with index generations: count, verify, compare, swap, replay."""
