"""Analytics: facts counted once, and what they add up to."""
