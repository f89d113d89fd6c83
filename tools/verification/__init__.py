"""What a verification needs besides its probes: a bench to try things on, a budget, a page."""
