"""Plans and allowance: what a person may still ask for, exact under races."""
