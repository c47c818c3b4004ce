"""Other people's clients at a server that asks who they are."""
