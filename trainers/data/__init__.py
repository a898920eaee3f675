"""Examples: the sources that they come from, the formats of their files, splits and shots."""
