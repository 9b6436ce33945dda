"""Stand-ins that keep what they are given; assertions read their state."""
