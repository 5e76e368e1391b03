"""The two names that a registered model may get, by what the promotion gate said of it."""

CHAMPION, CANDIDATE = "champion", "candidate"
