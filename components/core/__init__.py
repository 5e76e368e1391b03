"""What more than one stage needs; knows no stage and no pipeline engine."""
