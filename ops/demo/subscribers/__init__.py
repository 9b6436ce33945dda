"""Two subscribers of the fan-out topics, as other teams might write them: examples to copy from, and what runs them."""
