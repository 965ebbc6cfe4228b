"""Every knob of the study: ``params.yaml`` typed and checked, arms, runs and variants."""
