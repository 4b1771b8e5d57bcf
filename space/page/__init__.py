"""The page: its layout, what happens on its events, what it shows, and its limits."""
