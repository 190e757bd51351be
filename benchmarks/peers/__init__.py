"""What is compared: a folder for each library, and what they share."""
