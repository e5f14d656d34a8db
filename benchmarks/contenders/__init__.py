"""Who is measured: Eventing with its defaults, and the others as their documentation shows them, tuned with care."""
