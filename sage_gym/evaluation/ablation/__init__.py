"""What each part of the system is worth: runs with one part taken out, and their figures held against the whole's."""
