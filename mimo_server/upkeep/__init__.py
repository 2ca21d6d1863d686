"""What is done to a data folder while no server runs on it: verify, export, import, count."""
