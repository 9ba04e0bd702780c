"""Reading and writing the files that users keep. No policy."""
