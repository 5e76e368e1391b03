"""Stage: whether the trained generator becomes the champion, and why."""
