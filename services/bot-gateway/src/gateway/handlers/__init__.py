"""What the bot does with each kind of update. Routers are made, never shared: `conversation` puts them in order."""
