"""The Kafka protocol: the broker inside the process, real brokers, and the one client both are used through."""
