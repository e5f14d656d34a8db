"""Programs that show Eventing at work, and the broker that they run on."""
