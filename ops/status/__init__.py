"""How the pipeline stands: what is asked of its parts, and what that means for whoever is on call."""
