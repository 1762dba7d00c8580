"""The language's surface: text to a typed syntax tree, and nothing of what it means."""
