"""The server's behaviour: what is registered, where it is served, what happens to what arrives."""
