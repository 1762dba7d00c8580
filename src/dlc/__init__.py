"""dlc: neural networks written the way the course writes them, proved, differentiated, compiled and trained."""
