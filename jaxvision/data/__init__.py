"""Data: where examples come from, how they are split, and in which order training reads them."""
