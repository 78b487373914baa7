"""A Telegram of one's own: the Bot API for bots, a chat page for people, an HTTP interface for tests."""
