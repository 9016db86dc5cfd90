"""How small and how fast compressed networks are, beside plain ones and published figures."""
