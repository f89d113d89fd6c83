"""A laptop cloud that runs the deployed template itself: MiniStack, PostgreSQL, SAM CLI."""
