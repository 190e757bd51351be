"""What aiosched costs, beside what one would use otherwise, in the same rounds."""
