"""Who is watching, and telling them."""
