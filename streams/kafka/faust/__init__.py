"""A role's consumer group on Faust: fetching, the queue before the pipeline, and what is committed."""
