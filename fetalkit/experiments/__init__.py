"""What is trained and measured for a study, stage by stage."""
