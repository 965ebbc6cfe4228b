"""What the results say: tables, intervals, gains, summaries and conclusions in words."""
